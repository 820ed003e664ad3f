"""What the library is made of: files, the places that hold a model, models."""

from dataclasses import dataclass
from pathlib import Path

import msgspec


class File(msgspec.Struct, frozen=True):
    """One file of a model, as it was when it was looked at. Links are followed.

    `device` and `inode` name the content on this computer; `links` counts its names. `sha256` is
    known where the store names the file by it, or where it was computed.
    """

    path: str
    size: int
    modified: int  # nanoseconds since 1970
    device: int
    inode: int
    links: int = 1
    sha256: str | None = None


class Found(msgspec.Struct, frozen=True):
    """A model in a store, not looked into yet.

    `name` is what the store calls it, empty where it has no name but that of its file. `origin` is
    the file that makes it one (a manifest of Ollama), where that is not the model itself. A
    checkpoint is a folder, and its `files` are its weights.
    """

    path: str
    store: str
    root: str
    files: tuple[File, ...]
    name: str = ""
    origin: str = ""

    @property
    def place(self) -> str:
        """What names this place and no other, where one file is a model under two names."""
        return self.origin or self.path

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)


class Copy(msgspec.Struct, frozen=True):
    """One place that holds a model's content. `connected` is false while its disk is away."""

    store: str
    name: str
    path: Path
    root: str
    files: tuple[File, ...]
    origin: str = ""
    connected: bool = True

    @property
    def is_folder(self) -> bool:
        """Whether it is a checkpoint, whose path is that of a folder."""
        return bool(self.files) and str(self.path) != self.files[0].path


@dataclass(frozen=True, slots=True)
class LibraryModel:
    """A model as a list shows it. With `error` set the file cannot be used, and that is why.

    `last_used` is seconds since 1970, None when Sterna never used it. `sha256` is that of the one
    file, None where it is not known yet or the model has several files. `copies` are all places
    that hold this content; the first is the one that `path` and `store` name.
    """

    name: str
    path: Path
    store: str
    arch: str
    params: int
    quant: str
    bytes: int
    context: int | None
    last_used: float | None
    sha256: str | None
    kind: str = "model"
    error: str | None = None
    copies: tuple[Copy, ...] = ()
    favourite: bool = False
    alias: str = ""
    note: str = ""

    @property
    def also_in(self) -> tuple[str, ...]:
        """The other stores that hold the same content."""
        others = dict.fromkeys(copy.store for copy in self.copies)
        return tuple(store for store in others if store != self.store)

    @property
    def connected(self) -> bool:
        """Whether a disk with it is there."""
        return any(copy.connected for copy in self.copies) or not self.copies

    @property
    def names(self) -> tuple[str, ...]:
        """Every name that a store or the person gave it."""
        names = (self.alias, self.name, *(copy.name for copy in self.copies))
        return tuple(dict.fromkeys(name for name in names if name))
