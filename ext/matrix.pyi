TERNARY_TYPES: frozenset[int]

def held_bytes(type: int, rows: int, cols: int) -> int: ...

class MatrixRef:
    rows: int
    cols: int
    bytes: int
    upper_bytes: int
    middle_bytes: int
    is_packed: bool
    def rescale(self, factor: float) -> None: ...
