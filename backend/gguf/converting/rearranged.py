"""What GGUF keeps otherwise than a checkpoint: rows in another order, stacked, or plus one."""

import numpy as np
import numpy.typing as npt

from backend.gguf.rows import Rows

Values = npt.NDArray[np.float32]


class RotaryPairs:
    """Queries or keys with the two halves of each head interleaved.

    Transformers turns the pair (i, i + half) of a head; `llama` files keep the pair side by side, at
    2i and 2i + 1.
    """

    def __init__(self, rows: Rows, head: int) -> None:
        self._rows, self._head = rows, head
        self._order = np.arange(head).reshape(2, head // 2).T.reshape(-1)

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]."""
        begin = first // self._head * self._head
        end = -(-(first + count) // self._head) * self._head
        whole = self._rows.read(begin, end - begin)
        heads = whole.reshape(-1, self._head, whole.shape[1])[:, self._order]
        return np.ascontiguousarray(heads.reshape(whole.shape)[first - begin :][:count])

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint."""
        return self._rows.stored_bytes(count)


class PlusOne:
    """Norms whose weight is what is added to one (Gemma); GGUF keeps the sum."""

    def __init__(self, rows: Rows) -> None:
        self._rows = rows

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]."""
        return self._rows.read(first, count) + np.float32(1)

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint."""
        return self._rows.stored_bytes(count)


class Stacked:
    """The matrices of several experts, one after the other; `each` rows of every one."""

    def __init__(self, experts: list[Rows], each: int) -> None:
        self._experts, self._each = experts, each

    def read(self, first: int, count: int) -> Values:
        """Return rows of one expert as float32 [count, cols]."""
        expert, row = divmod(first, self._each)
        return self._experts[expert].read(row, count)

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint."""
        return self._experts[0].stored_bytes(count)


class Band:
    """Some rows of every matrix: `each` from `start` on, of matrices of `whole` rows."""

    def __init__(self, rows: Rows, start: int, each: int, whole: int) -> None:
        self._rows, self._start, self._each, self._whole = rows, start, each, whole

    def read(self, first: int, count: int) -> Values:
        """Return rows of one matrix as float32 [count, cols]."""
        matrix, row = divmod(first, self._each)
        return self._rows.read(matrix * self._whole + self._start + row, count)

    def stored_bytes(self, count: int) -> int:
        """Return the bytes that `count` rows are in the checkpoint."""
        return self._rows.stored_bytes(count)


class Constant:
    """Values that are computed, not stored."""

    def __init__(self, values: Values) -> None:
        self._values = values.reshape(-1, values.shape[-1]).astype(np.float32)

    def read(self, first: int, count: int) -> Values:
        """Return rows as float32 [count, cols]."""
        return self._values[first : first + count]

    def stored_bytes(self, count: int) -> int:
        """Return 0: nothing is read for them."""
        return 0
