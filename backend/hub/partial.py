"""A file that is not whole yet, and the journal beside it that says which pieces are.

Both lie where the finished file will: in the blobs of the Hugging Face cache, under names that its own
tools know as leftovers. The journal is text: a first line of JSON, then `index xxh3` for a piece that
is on disk and `-index` for one that is not after all. A line is written after its bytes, so whatever
ends the program, a journalled piece was fetched; the checksum tells whether the disk still has it.
"""

import contextlib
import errno
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

from xxhash import xxh3_64

from backend.errors import SternaError
from backend.units import human_bytes

_LEAST, _MOST = 256 << 10, 4 << 20
_USUAL_COUNT = 1024
_VERSION = 2
_LONGEST_JOURNAL = 64 << 20


def piece_for(size: int) -> int:
    """Return the length of pieces for a file of `size` bytes: about a thousand of them, powers of two.

    Short ones lose little when a program is killed; many cost time.
    """
    piece = _LEAST
    while piece < _MOST and size // piece > _USUAL_COUNT:
        piece *= 2
    return piece


def partial_path(blob: Path) -> Path:
    """Return where the bytes of an unfinished blob are."""
    return blob.with_name(f"{blob.name}.sterna.incomplete")


def journal_path(blob: Path) -> Path:
    """Return where the journal of an unfinished blob is."""
    return blob.with_name(f"{blob.name}.sterna-journal.incomplete")


def fetched_bytes(blob: Path) -> int:
    """Return how much of an unfinished blob is on disk by its journal."""
    try:
        with journal_path(blob).open("rb") as file:
            data = file.read(_LONGEST_JOURNAL)
    except OSError:
        return 0
    head, pieces = _read_journal(data)
    size, piece = head.get("size", 0), head.get("piece", _LEAST)
    return sum(max(0, min(piece, size - index * piece)) for index in pieces)


def discard(blob: Path) -> int:
    """Remove an unfinished blob; return the bytes that frees."""
    freed = 0
    for path in (partial_path(blob), journal_path(blob)):
        with contextlib.suppress(OSError):
            freed += path.stat().st_blocks * 512
            path.unlink()
    return freed


class Partial:
    """An unfinished file of `size` bytes, open for writing. Pieces may be written by several threads.

    `found` maps the pieces that were there when it was opened to their checksums: they are to be
    compared before they are believed.
    """

    def __init__(self, blob: Path, size: int, piece: int) -> None:
        self.blob = blob
        self.size = size
        self.piece = piece
        self.count = -(-size // piece)
        self.checksums: dict[int, int] = {}
        self._file = self._journal = -1
        with guarded(blob.parent):
            blob.parent.mkdir(parents=True, exist_ok=True)
            flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | getattr(os, "O_NOFOLLOW", 0)
            try:
                self._file = os.open(partial_path(blob), flags, 0o666)
                self._journal = os.open(journal_path(blob), flags | os.O_APPEND, 0o666)
                self._resume()
            except BaseException:
                self.close()
                raise
        self.found = frozenset(self.checksums)

    def _resume(self) -> None:
        """Take over what a journal of the same file says, or begin a new one."""
        head, pieces = _read_journal(os.pread(self._journal, _LONGEST_JOURNAL, 0))
        ours = {"version": _VERSION, "size": self.size, "piece": self.piece}
        on_disk = os.fstat(self._file).st_size
        if head == ours and on_disk == self.size:
            self.checksums = {i: crc for i, crc in pieces.items() if i < self.count}
            os.write(self._journal, b"\n")  # ends a line that was cut off by the end of a machine
            return
        os.ftruncate(self._journal, 0)
        if on_disk:  # a file that was once cut to nothing is written out by ext4 when it is closed
            os.ftruncate(self._file, 0)
        os.ftruncate(self._file, self.size)
        os.write(self._journal, json.dumps(ours).encode() + b"\n")

    def extent(self, index: int) -> tuple[int, int]:
        """Return where a piece begins and ends."""
        start = index * self.piece
        return start, min(start + self.piece, self.size)

    def write(self, offset: int, data: memoryview) -> None:
        """Put bytes in their place; raises SternaError(disk_full, …)."""
        with guarded(self.blob.parent):
            while data:
                written = os.pwrite(self._file, data, offset)
                offset += written
                data = data[written:]

    def read(self, index: int, buffer: bytearray, count: int = 1) -> Iterator[memoryview]:
        """Yield the bytes of `count` pieces as they are on disk, a buffer at a time."""
        at, end = self.extent(index)[0], self.extent(index + count - 1)[1]
        while at < end:
            with guarded(self.blob.parent):
                got = os.preadv(self._file, [memoryview(buffer)[: end - at]], at)
            if not got:  # somebody cut the file: the hash will tell
                return
            yield memoryview(buffer)[:got]
            at += got

    def finish(self, pieces: Mapping[int, int]) -> None:
        """Note that pieces are on disk, each with its checksum."""
        with guarded(self.blob.parent):
            self._note("".join(f"{i} {checksum:016x}\n" for i, checksum in pieces.items()))
        self.checksums.update(pieces)

    def forget(self, index: int) -> None:
        """Note that a piece is not what it should be."""
        self.checksums.pop(index, None)
        with guarded(self.blob.parent):
            self._note(f"-{index}\n")

    def is_sound(self, index: int, buffer: bytearray) -> bool:
        """Whether a piece on disk is what was journalled."""
        checksum = xxh3_64()
        for data in self.read(index, buffer):
            checksum.update(data)
        return self.checksums.get(index) == checksum.intdigest()

    def publish(self) -> None:
        """Give the whole file its name; raises SternaError."""
        with guarded(self.blob.parent):
            partial_path(self.blob).replace(self.blob)
        self.close()
        with contextlib.suppress(OSError):
            journal_path(self.blob).unlink()

    def close(self) -> None:
        """Close the files; what is there stays. Safe to call twice."""
        for descriptor in (self._file, self._journal):
            if descriptor >= 0:
                os.close(descriptor)
        self._file = self._journal = -1

    def _note(self, lines: str) -> None:
        data = lines.encode()
        if os.write(self._journal, data) != len(data):  # a full disk may take half a line
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def _read_journal(data: bytes) -> tuple[dict[str, int], dict[int, int]]:
    """Return the first line and the pieces; lines that were cut off count for nothing."""
    first, *lines = data.split(b"\n")
    try:
        head = json.loads(first)
    except ValueError:
        return {}, {}
    if not isinstance(head, dict) or not all(isinstance(v, int) for v in head.values()):
        return {}, {}
    pieces: dict[int, int] = {}
    for line in lines[:-1]:
        index, _, checksum = line.partition(b" ")
        if index.startswith(b"-") and index[1:].isdigit():
            pieces.pop(int(index[1:]), None)
        elif index.isdigit() and len(checksum) == 16:
            with contextlib.suppress(ValueError):
                pieces[int(index)] = int(checksum, 16)
    return head, pieces


@contextlib.contextmanager
def guarded(folder: Path) -> Iterator[None]:
    """Turn an error of the disk into one sentence."""
    try:
        yield
    except OSError as error:
        raise disk_error(error, folder) from error


def disk_error(error: OSError, folder: Path) -> SternaError:
    """Return what a failed write means."""
    if error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):
        return SternaError(
            "disk_full",
            f"The disk of {folder} is full, or its quota is used up.",
            "Free some space or set HF_HOME to another disk; what is fetched is kept.",
        )
    if error.errno in (errno.EROFS, errno.EACCES, errno.EPERM):
        return SternaError(
            "read_only",
            f"The model cache {folder} cannot be written.",
            "Change its permissions, or set HF_HOME to a folder that can be written.",
        )
    return SternaError(
        "disk_error",
        f"The disk failed at {folder}: {error.strerror or error}.",
        "Check the disk; what is fetched is kept.",
    )


def not_enough(needed: int, free: int, folder: Path) -> SternaError:
    """Return the error of a download that cannot fit."""
    return SternaError(
        "disk_full",
        f"This takes {human_bytes(needed)} more, and {folder} has {human_bytes(free)} free.",
        f"Free {human_bytes(needed - free)} or set HF_HOME to another disk; what is fetched is kept.",
    )
