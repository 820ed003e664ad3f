"""Reading numbers and strings from the start of a file, never beyond it.

A buffer may hold only the first bytes of a longer file (a header fetched in ranges). What the file
itself cannot hold is damage; what is merely not fetched yet is `IncompleteHeaderError`.
"""

import struct

from backend.errors import SternaError

Buffer = bytes | bytearray | memoryview

MAX_STRINGS = (
    1 << 21
)  # in all arrays of a file together; the largest vocabularies have a third of it
_SIZE = struct.Struct("<Q")
_AGAIN = "Download the file again; it may be cut short or damaged."


class IncompleteHeaderError(SternaError):
    """The buffer ends before the header does; at least `needed` bytes of the file are required."""

    needed = 0


def corrupt(what: str) -> SternaError:
    """Return the error for bytes that break the format."""
    return SternaError("corrupt", f"This GGUF file is damaged: {what}.", _AGAIN)


def truncated(what: str) -> SternaError:
    """Return the error for a file that ends too early."""
    return SternaError("truncated", f"This GGUF file is cut short: {what}.", _AGAIN)


def shown(name: str) -> str:
    """Return a name from the file for use in a message: short, on one line, with visible escapes."""
    return repr(name if len(name) <= 80 else name[:79] + "…")


class Cursor:
    """Reads little-endian values one after the other.

    `data` is the start of a file of `size` bytes; without `size`, the whole of it.
    """

    def __init__(self, data: Buffer, size: int | None = None) -> None:
        self.data = data
        self.at = 0
        self.end = len(data)
        self.size = self.end if size is None else size
        self._strings_left = MAX_STRINGS

    @property
    def room(self) -> int:
        """Bytes that the file, fetched or not, has after this place."""
        return self.size - self.at

    def step(self, count: int, what: str) -> int:
        """Return the position of the next `count` bytes and step over them."""
        at = self.at
        stop = at + count
        if stop > self.end:
            raise self._short(stop, what)
        self.at = stop
        return at

    def number(self, layout: struct.Struct, what: str) -> int | float | bool:
        """Read one value."""
        value: int | float | bool = layout.unpack_from(self.data, self.step(layout.size, what))[0]
        return value

    def numbers(self, layout: struct.Struct, what: str) -> tuple[int, ...]:
        """Read several whole numbers."""
        return layout.unpack_from(self.data, self.step(layout.size, what))

    def string(self, what: str, limit: int) -> bytes:
        """Read a string: u64 length, bytes."""
        (size,) = self.numbers(_SIZE, what)
        if size > limit:
            raise corrupt(f"{what} claims {size} bytes")
        at = self.step(size, what)
        return bytes(self.data[at : at + size])

    def skip_strings(self, count: int, what: str) -> None:
        """Step over `count` strings, checking every length."""
        if count > self._strings_left:
            raise corrupt(f"{what} claims {count} strings, and a file may have {MAX_STRINGS}")
        if count * 8 > self.room:
            raise truncated(f"{what} claims {count} strings")
        self._strings_left -= count
        at, end, data = self.at, self.end, self.data
        length_at = _SIZE.unpack_from
        for _ in range(count):  # a third of a million turns in large vocabularies: keep it bare
            if at + 8 > end:
                raise self._short(at + 8, what)
            at += 8 + length_at(data, at)[0]
        # A length beyond the end stops the loop at its next turn; the last one is caught here.
        if at > end:
            raise self._short(at, what)
        self.at = at

    def _short(self, stop: int, what: str) -> SternaError:
        if stop > self.size:
            return truncated(f"{what} would end at byte {stop} of {self.size}")
        error = IncompleteHeaderError(
            "truncated", "The header of this file is not complete yet.", "Fetch more of it."
        )
        error.needed = stop
        return error
