import numpy as np
import numpy.typing as npt

from ext.matrix import MatrixRef

def buffer_bytes(width: int, max_tokens: int) -> int: ...
def shared_bytes(
    threads: int, max_tokens: int, widest: int, q_heads: int, value_width: int, vocab: int
) -> int: ...
def expert_bytes(
    threads: int, max_tokens: int, count: int, used: int, width: int, stream: int, floats: bool
) -> int: ...

class Buffer:
    width: int

class KVCache: ...

class Steps:
    isa: str
    threads: int
    max_tokens: int
    buffer_bytes: int
    cache_bytes: int
    def __init__(self, threads: int, max_tokens: int) -> None: ...
    def matrix(
        self,
        type: int,
        data: npt.NDArray[np.uint8],
        rows: int,
        cols: int,
        pack: bool = True,
        mapped: bool = False,
        split: bool = False,
    ) -> MatrixRef: ...
    def buffer(self, width: int) -> Buffer: ...
    def cache(self, heads: int, capacity: int, width: int, type: str, keys: bool) -> KVCache: ...
    def embed(
        self, table: MatrixRef, out: Buffer, scale: float = 1, file: int = -1, offset: int = 0
    ) -> int: ...
    def norm(
        self,
        x: Buffer,
        weight: npt.NDArray[np.float32] | None,
        eps: float,
        users: list[MatrixRef],
        last_only: bool = False,
        scale: float = 1,
        branch: Buffer | None = None,
        branch_weight: npt.NDArray[np.float32] | None = None,
        gate: Buffer | None = None,
    ) -> None: ...
    def linear(
        self,
        matrices: list[MatrixRef],
        outs: list[Buffer],
        biases: list[npt.NDArray[np.float32] | None] | None = None,
        add: bool = False,
        last_only: bool = False,
    ) -> int: ...
    def rope(
        self,
        q: Buffer,
        k: Buffer,
        v: Buffer,
        keys: KVCache,
        values: KVCache,
        inverse: npt.NDArray[np.float32],
        neox: bool,
        scale: float = 1,
        far: npt.NDArray[np.float32] | None = None,
        q_norm: npt.NDArray[np.float32] | None = None,
        k_norm: npt.NDArray[np.float32] | None = None,
        eps: float = 0,
    ) -> None: ...
    def attend(
        self,
        q: Buffer,
        out: Buffer,
        keys: KVCache,
        values: KVCache,
        scale: float,
        cap: float = 0,
        window: int = 0,
    ) -> None: ...
    def glu(self, gate: Buffer, up: Buffer, kind: str) -> None: ...
    def cap(self, logits: Buffer, cap: float) -> None: ...
    def experts(
        self,
        logits: Buffer,
        x: Buffer,
        gate: list[MatrixRef],
        up: list[MatrixRef],
        down: list[MatrixRef],
        used: int,
        normalise: bool,
        scale: float,
        kind: str,
    ) -> int: ...
    def finish(self, vocab: int) -> None: ...
