import numpy as np
import numpy.typing as npt

def row_bytes(type: int, cols: int) -> int: ...
def dequantise(
    type: int, data: npt.NDArray[np.uint8], rows: int, cols: int
) -> npt.NDArray[np.float32]: ...
