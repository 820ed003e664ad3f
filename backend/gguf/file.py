"""A GGUF file on disk, memory-mapped; the parts of a split model are joined."""

import contextlib
import mmap
import os
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf.contents import GGUFContents
from backend.gguf.header import Header, encoded_metadata, read_header
from backend.gguf.mapping import map_file
from backend.gguf.splits import check_parts, find_parts


class GGUFFile(GGUFContents):
    """An open model file, best used in a `with` statement.

    Sizes are checked when it is opened. A file that another program cuts short after that makes the
    next read of the missing part fail with SIGBUS, which ends the process: that is the price of a
    memory map, and one reason why models run in a process of their own.
    """

    path: Path
    shards: tuple[Path, ...]

    def __init__(self, parts: list["_Part"]) -> None:
        size = sum(len(part.map) for part in parts)
        super().__init__([part.path for part in parts], [part.header for part in parts], size)
        self._parts = parts

    def __enter__(self) -> "GGUFFile":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Unmap the file. Arrays from `data` that are still in use keep their part until they go.

        Metadata that was never read can no longer be had.
        """
        for part in self._parts:
            part.close()

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of a tensor: uint8 [nbytes], read-only, a view of the map.

        Raises KeyError when there is no such tensor.
        """
        info = self.tensors[name]
        return np.frombuffer(self._parts[info.shard].map, np.uint8, info.nbytes, info.offset)

    def place(self, name: str) -> tuple[int, int]:
        """Return the descriptor of the file in which a tensor lies, and its first byte there.

        For what is read here and there: through the map, each row that is read would bring the pages
        around it into the memory of this process, up to 2 MB where the page cache has huge ones.
        """
        info = self.tensors[name]
        return self._parts[info.shard].descriptor, info.offset

    def let_go(self) -> None:
        """Take the pages of the map out of this process's memory; they come back when they are read.

        For a reader that has gone through tensors and kept a copy: where the page cache has huge pages,
        the last one of each tensor stays mapped, some 50 MB in all.
        """
        if hasattr(mmap, "MADV_DONTNEED"):
            for part in self._parts:
                part.map.madvise(mmap.MADV_DONTNEED)

    def encoded_metadata(self) -> dict[str, bytes]:
        """Return the metadata as it stands in the file, for a writer to keep."""
        with memoryview(self._parts[0].map) as view:
            return encoded_metadata(view)


@contextlib.contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Put the file's name before errors that speak of its contents."""
    try:
        yield
    except SternaError as error:
        message = f"{path.name}: {error.message}"
        raise SternaError(error.kind, message, error.hint) from None


class _Part:
    """One mapped file and its header."""

    def __init__(self, path: Path, shard: int, architecture: str | None) -> None:
        self.path = path
        self.map: mmap.mmap
        self.map, self.descriptor = map_file(path)
        view = memoryview(self.map)
        try:
            with _naming(path):
                self.header: Header = read_header(view, shard=shard, architecture=architecture)
        except BaseException:
            view.release()
            self.map.close()
            os.close(self.descriptor)
            raise

    def close(self) -> None:
        self.header.metadata.release()
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1
        with contextlib.suppress(BufferError):  # arrays of it are in use
            self.map.close()


def open_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open a model file, and its other parts if it is split.

    Raises SternaError: not_found, unreadable, not_gguf, unsupported_format, truncated, corrupt,
    incomplete_split, out_of_memory. A file with tensors of unknown types is opened; those are not
    `supported`.
    """
    path = Path(path)
    with contextlib.ExitStack() as undo:
        parts: list[_Part] = []

        def add(part: Path, architecture: str | None) -> _Part:
            parts.append(_Part(part, len(parts), architecture))
            undo.callback(parts[-1].close)
            return parts[-1]

        first = add(path, None)
        with _naming(path):
            paths = find_parts(path, first.header)
        if len(paths) > 1:
            undo.close()
            parts.clear()
            first = add(paths[0], None)
            for other in paths[1:]:
                add(other, first.header.metadata.string("general.architecture", ""))
        with _naming(path):
            if len(paths) > 1:
                check_parts([part.header for part in parts])
            file = GGUFFile(parts)
        undo.pop_all()
    return file
