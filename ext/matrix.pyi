TERNARY_TYPES: frozenset[int]

class MatrixRef:
    rows: int
    cols: int
    bytes: int
    coarse_bytes: int
    is_packed: bool
    def rescale(self, factor: float) -> None: ...
