import numpy as np
import numpy.typing as npt

from ext.steps import Buffer, Steps

class Engine(Steps):
    keep: int
    far: bool
    exact_share: float
    side_bytes: int
    def set_side(
        self,
        step: int,
        down: npt.NDArray[np.floating],
        factors: npt.NDArray[np.float32],
        ups: list[tuple[int, npt.NDArray[np.floating]] | None],
    ) -> None: ...
    def clear_sides(self) -> None: ...
    def cancel(self) -> None: ...
    def resume(self) -> None: ...
    def run(self, ids: npt.NDArray[np.int32], first: int, logits_from: int) -> bool: ...
    def fill_caches(self, positions: int) -> None: ...
    def seconds(self) -> dict[str, float]: ...
    def write(self, b: Buffer, values: npt.NDArray[np.float32]) -> None: ...
    def read(self, b: Buffer, tokens: int) -> npt.NDArray[np.float32]: ...
    def sample(
        self,
        logits: Buffer,
        temperature: float,
        top_k: int,
        top_p: float,
        min_p: float,
        repeat_penalty: float,
        recent: npt.NDArray[np.int32],
        state: npt.NDArray[np.uint64],
    ) -> tuple[int, float]: ...
