import numpy as np
import numpy.typing as npt

def quantise(
    type: int,
    values: npt.NDArray[np.float32],
    importance: npt.NDArray[np.float32] | None = None,
) -> npt.NDArray[np.uint8]: ...
def rejoin(type: int, data: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]: ...
