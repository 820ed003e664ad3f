"""A GGUF file on disk, memory-mapped; several parts of one model are joined."""

import mmap
import os
import re
import stat
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf.header import Header, TensorInfo, Value, corrupt, read_header, truncated

_MAX_SHARDS = 999
_PART = re.compile(r"^(?P<stem>.+)-(?P<number>\d{5})-of-(?P<count>\d{5})\.gguf$", re.DOTALL)


class GGUFFile:
    """An open model file. Closing it invalidates every array that `data` returned.

    A file that another program cuts short while it is mapped makes a later read fail with SIGBUS;
    that is the price of a memory map, and why the engine runs in a process of its own.
    """

    def __init__(self, path: Path, shards: list[tuple[Path, mmap.mmap, Header]]) -> None:
        self.path = path
        self.shards = tuple(p for p, _, _ in shards)
        self._maps = [m for _, m, _ in shards]
        first = shards[0][2]
        self.version = first.version
        self.alignment = first.alignment
        self.metadata: Mapping[str, Value] = first.metadata
        self._metadata = first.metadata
        self.tensors: dict[str, TensorInfo] = {}
        for _, _, header in shards:
            for name, info in header.tensors.items():
                if name in self.tensors:
                    raise corrupt(f"the tensor {name!r} stands in two of its parts")
                self.tensors[name] = info

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
        """Unmap the file, unless arrays of it are still in use: then it goes with the last of them."""
        for mapped in self._maps:
            try:
                mapped.close()
            except BufferError:
                continue

    @property
    def architecture(self) -> str:
        """`general.architecture`, or an empty string."""
        return self.string("general.architecture") or ""

    @property
    def size(self) -> int:
        """Bytes of all parts."""
        return sum(len(m) for m in self._maps)

    def data(self, name: str) -> npt.NDArray[np.uint8]:
        """Return the bytes of a tensor: uint8 [nbytes], read-only, a view of the map."""
        info = self.tensors[name]
        return np.frombuffer(self._maps[info.shard], np.uint8, info.nbytes, info.offset)

    # --- typed access: a value of another type counts as absent or is an error, never a surprise ---

    def string(self, key: str, default: str | None = None) -> str | None:
        """Return a text, or `default` when the key is absent or holds something else."""
        value = self.metadata.get(key)
        return value if isinstance(value, str) else default

    def integer(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number; an array of equal numbers counts as one (per-layer heads)."""
        value = self.metadata.get(key)
        if isinstance(value, np.ndarray) and value.size and value.dtype.kind in "iu":
            value = int(value.max())
        return value if isinstance(value, int) and not isinstance(value, bool) else default

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a number."""
        value = self.metadata.get(key)
        return (
            float(value)
            if isinstance(value, int | float) and not isinstance(value, bool)
            else default
        )

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """Return a boolean."""
        value = self.metadata.get(key)
        return value if isinstance(value, bool) else default

    def integers(self, key: str) -> list[int]:
        """Return an array of whole numbers, empty when there is none."""
        value = self.metadata.get(key)
        return value.tolist() if isinstance(value, np.ndarray) and value.dtype.kind in "iu" else []

    def numbers(self, key: str) -> npt.NDArray[np.float32] | None:
        """Return an array of numbers as float32, or None."""
        value = self.metadata.get(key)
        return value.astype(np.float32) if isinstance(value, np.ndarray) else None

    def strings(self, key: str) -> list[str]:
        """Return an array of texts, empty when there is none."""
        value = self.metadata.get(key)
        return [v for v in value if isinstance(v, str)] if isinstance(value, list) else []

    def raw_strings(self, key: str) -> list[bytes]:
        """Return an array of texts as the bytes they are: tokens need not be UTF-8."""
        return self._metadata.raw_strings(key)


def _map(path: Path) -> mmap.mmap:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError as error:
        raise SternaError(
            "not_found", f"There is no file {path}.", "Check the path; `sterna ls` lists models."
        ) from error
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise SternaError(
            "unreadable", f"{path} cannot be opened: {reason}.", "Check its permissions."
        ) from error
    try:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise SternaError(
                "not_gguf", f"{path} is not a file.", "Give the path of a .gguf file."
            )
        if not status.st_size:
            raise truncated("it is empty")
        return mmap.mmap(descriptor, 0, access=mmap.ACCESS_READ)
    except OSError as error:
        raise SternaError(
            "unreadable", f"{path} cannot be read: {error.strerror}.", "Check the disk."
        ) from error
    finally:
        os.close(descriptor)


def _open_one(path: Path, shard: int) -> tuple[Path, mmap.mmap, Header]:
    mapped = _map(path)
    try:
        view = memoryview(mapped)
        header = read_header(view, shard)
        if header.data_end > len(mapped):
            raise truncated(
                f"{header.data_end - len(mapped)} of {header.data_end} bytes are missing"
            )
        return path, mapped, header
    except SternaError as error:
        raise SternaError(error.kind, f"{path.name}: {error.message}", error.hint) from None


def _siblings(path: Path, header: Header) -> list[Path]:
    """Return the paths of all parts, this one included; only names in the same folder are built."""
    count = header.metadata.get("split.count", 0)
    if not isinstance(count, int) or count <= 1:
        return [path]
    match = _PART.match(path.name)
    number = header.metadata.get("split.no", 0)
    if count > _MAX_SHARDS:
        raise corrupt(f"it claims {count} parts")
    if (
        match is None
        or int(match["count"]) != count
        or int(match["number"]) != (number if isinstance(number, int) else -1) + 1
    ):
        raise SternaError(
            "corrupt",
            f"{path.name} is one of {count} parts, but its name does not say which.",
            "Give the parts their names back: NAME-00001-of-00003.gguf.",
        )
    parts = [
        path.with_name(f"{match['stem']}-{i:05d}-of-{count:05d}.gguf") for i in range(1, count + 1)
    ]
    missing = [p.name for p in parts if not p.is_file()]
    if missing:
        raise SternaError(
            "incomplete_split",
            f"{len(missing)} of the {count} parts of this model are missing, such as {missing[0]}.",
            "Download the missing parts into the same folder.",
        )
    return parts


def open_gguf(path: str | os.PathLike[str]) -> GGUFFile:
    """Open a model file, with its other parts if it is split; raises SternaError."""
    path = Path(path)
    opened = _open_one(path, 0)
    parts = _siblings(path, opened[2])
    if parts == [path]:
        return GGUFFile(path, [opened])
    shards = [_open_one(part, i) for i, part in enumerate(parts)]
    counts = {s[2].metadata.get("split.count") for s in shards}
    total = shards[0][2].metadata.get("split.tensors.count")
    if len(counts) != 1 or (
        isinstance(total, int) and total != sum(len(s[2].tensors) for s in shards)
    ):
        raise corrupt("its parts do not belong together")
    return GGUFFile(parts[0], shards)
