"""The list of tensors in a header: what they are and where they lie."""

import struct
from dataclasses import dataclass

from backend import quants
from backend.gguf.cursor import Cursor, corrupt, shown, truncated

_MAX_TENSORS = 65_536
_MAX_NAME = 63
_MAX_DIMENSIONS = 4
_MAX_ELEMENTS = 1 << 59  # times the size of any block still fits 63 bits
_DIMENSIONS = struct.Struct("<I")
_EXTENTS = [struct.Struct(f"<{n}qIQ") for n in range(_MAX_DIMENSIONS + 1)]  # extents, type, offset


@dataclass(frozen=True, slots=True)
class TensorInfo:
    """Where a tensor lies and what its bytes are.

    `shape` in ggml's order: shape[0] is the length of a contiguous row. `offset` counts from the
    first byte of its shard. A type of unknown size is not `supported`; its `nbytes` are those up to
    the next tensor, padding included.
    """

    name: str
    shape: tuple[int, ...]
    type: int
    type_name: str
    offset: int
    nbytes: int
    shard: int
    supported: bool

    @property
    def elements(self) -> int:
        """Number of values."""
        count = 1
        for n in self.shape:
            count *= n
        return count


@dataclass(slots=True)
class _Entry:
    """A tensor as the list gives it; `offset` from the start of the data, `nbytes` None: unknown."""

    name: str
    shape: tuple[int, ...]
    type: int
    offset: int
    nbytes: int | None


def read_tensors(
    c: Cursor, count: int, alignment: int, architecture: str, shard: int
) -> tuple[dict[str, TensorInfo], int]:
    """Read the list; return the tensors and where the data starts. Raises SternaError."""
    if count > _MAX_TENSORS:
        raise corrupt(f"it claims {count} tensors")
    if count * 24 > c.room:
        raise truncated(f"{count} tensors cannot be listed in {c.room} bytes")
    entries: list[_Entry] = []
    seen: set[str] = set()
    previous: _Entry | None = None
    for _ in range(count):
        entry = _read_entry(c, architecture)
        if entry.name in seen:
            raise corrupt(f"the tensor {shown(entry.name)} stands there twice")
        _check_place(entry, previous, alignment)
        seen.add(entry.name)
        entries.append(entry)
        previous = entry
    start = -(-c.at // alignment) * alignment
    tensors: dict[str, TensorInfo] = {}
    stop = c.size  # where the next tensor begins, seen from behind
    for entry in reversed(entries):
        offset = start + entry.offset
        end = offset + (entry.nbytes or 0)
        if end > c.size:
            raise truncated(f"the tensor {shown(entry.name)} ends at byte {end} of {c.size}")
        tensors[entry.name] = TensorInfo(
            entry.name,
            entry.shape,
            entry.type,
            quants.type_name(entry.type, architecture),
            offset,
            stop - offset if entry.nbytes is None else entry.nbytes,
            shard,
            entry.nbytes is not None,
        )
        stop = offset
    return dict(reversed(tensors.items())), start


def _read_entry(c: Cursor, architecture: str) -> _Entry:
    name = c.string("the name of a tensor", _MAX_NAME).decode("utf-8", "replace")
    (dimensions,) = c.numbers(_DIMENSIONS, "a tensor")
    if dimensions > _MAX_DIMENSIONS:
        raise corrupt(f"the tensor {shown(name)} has {dimensions} dimensions")
    *shape, type_, offset = c.numbers(_EXTENTS[dimensions], "a tensor")
    elements = 1
    for extent in shape:
        if extent < 0:
            raise corrupt(f"the tensor {shown(name)} has a negative extent")
        elements *= extent
    # A zero extent must not hide others that overflow elsewhere.
    if elements >= _MAX_ELEMENTS or any(extent >= _MAX_ELEMENTS for extent in shape):
        raise corrupt(f"the tensor {shown(name)} claims {' x '.join(map(str, shape))} values")
    kind = quants.tensor_type(type_, architecture)
    nbytes = quants.tensor_bytes(kind, tuple(shape)) if kind else None
    if kind and nbytes is None:
        raise corrupt(f"the rows of tensor {shown(name)} do not fill blocks of {kind.name}")
    return _Entry(name, tuple(shape), type_, offset, nbytes)


def _check_place(entry: _Entry, previous: _Entry | None, alignment: int) -> None:
    """Tensors lie one behind the other, each padded to the alignment.

    Behind one of unknown size the list alone tells where the next begins: not before it.
    """
    offset = entry.offset
    if previous is None:
        fits = offset == 0
    elif previous.nbytes is None:
        fits = offset >= previous.offset and offset % alignment == 0
    else:
        fits = offset == -(-(previous.offset + previous.nbytes) // alignment) * alignment
    if not fits:
        raise corrupt(f"the tensor {shown(entry.name)} does not lie where the one before it ends")
