"""What a store is: a program's way of keeping models on disk."""

import time
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from backend.library.files import entries
from backend.library.model import Copy, File, Found
from backend.settings import Settings

_SETTLED = 3600.0  # seconds


class Leftover(msgspec.Struct, frozen=True):
    """A file in a store that is no use to anybody: why, and the bytes that go with it."""

    store: str
    root: str
    path: str
    bytes: int
    why: str  # partial, unreferenced, superseded
    modified: float  # seconds since 1970


@dataclass(frozen=True, slots=True)
class Belongings:
    """What goes when copies of a model go: paths in the order in which they may be moved.

    `kept` says in words what stays, because something else needs it.
    """

    paths: tuple[str, ...]
    kept: tuple[str, ...] = ()


def together(several: Iterable[Belongings]) -> Belongings:
    """Return several as one."""
    all_of_them = list(several)
    return Belongings(
        tuple(dict.fromkeys(path for one in all_of_them for path in one.paths)),
        tuple(dict.fromkeys(text for one in all_of_them for text in one.kept)),
    )


class Store(ABC):
    """One program's models. A generator never fails: what cannot be read is left out."""

    name: str
    title: str  # for people

    @abstractmethod
    def roots(self, settings: Settings) -> Iterable[Path]:
        """Return the folders in which this store keeps models; they need not exist."""

    @abstractmethod
    def models(self, root: str) -> Iterator[Found]:
        """Yield what a root holds."""

    def hash_in_name(self, path: str) -> str | None:
        """Return the SHA-256 that the store's own name for this file says it has."""
        return None

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield the partial files and whatever else nothing refers to."""
        yield from ()

    def goes_with(self, left: Leftover) -> tuple[str, ...]:
        """Return the paths that have to go so that a leftover is gone."""
        return (left.path,)

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return what has to go so that these copies, of one root, are gone. Raises SternaError."""
        return Belongings(tuple(file.path for copy in copies for file in copy.files))


def leftover(store: Store, root: str, why: str, file: File) -> Leftover:
    """Return the record of one file that is left over; with other names, it holds no room."""
    size = file.size if file.links == 1 else 0
    return Leftover(store.name, root, file.path, size, why, file.modified / 1e9)


def is_settled(file: File) -> bool:
    """Whether nothing has been written to a file for long enough that nobody does any more."""
    return time.time() - file.modified / 1e9 > _SETTLED


def names_in(folder: str) -> list[str]:
    """Return the names in a folder."""
    return [entry.name for entry in entries(folder)]
