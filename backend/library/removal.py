"""What deleting a model takes away, what it frees, and what stays; then doing it."""

import os
import shutil
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from backend.database import Database
from backend.errors import SternaError
from backend.library import trash
from backend.library.model import Copy, LibraryModel
from backend.library.stores import STORES


@dataclass(frozen=True, slots=True)
class Removal:
    """A deletion that was thought through and not done yet.

    `frees` are the bytes that emptying the trash gives back to the disk; `kept` says in words what
    stays and why; `remains` are the other places that hold the same content.
    """

    model: LibraryModel
    copies: tuple[Copy, ...]
    paths: tuple[str, ...]
    frees: int
    kept: tuple[str, ...]
    remains: tuple[Copy, ...]

    @property
    def forgets(self) -> bool:
        """Whether there is nothing to delete: its disk is away, and it is only struck off the list."""
        return not any(copy.connected for copy in self.copies)


def plan(model: LibraryModel, copies: Sequence[Copy]) -> Removal:
    """Return what deleting these places of a model would do. Raises SternaError: not_deletable."""
    paths: dict[str, None] = {}
    kept: dict[str, None] = {}
    for (store, _root), some in _by_root(copies).items():
        belongings = STORES[store].belongings(some)
        paths.update(dict.fromkeys(belongings.paths))
        kept.update(dict.fromkeys(belongings.kept))
    remains = tuple(copy for copy in model.copies if copy not in copies)
    chosen = _outermost(list(paths))
    gone = {(file.device, file.inode) for copy in copies for file in copy.files}
    for copy in remains:
        if copy.connected and any((file.device, file.inode) in gone for file in copy.files):
            kept[f"{copy.path} is the same file and stays: its bytes are not freed."] = None
    return Removal(model, tuple(copies), chosen, trash.freed(chosen), tuple(kept), remains)


def remove(removal: Removal, kind: str) -> str | None:
    """Move everything to the trash and return the entry's name, None where there was nothing to move.

    `kind` is `app` or `cli`: it decides how long an undo is possible. Raises SternaError.
    """
    if removal.forgets:
        _forget(removal)
        return None
    return trash.delete(removal.paths, (copy.root for copy in removal.copies), kind)


def remove_for_good(removal: Removal) -> None:
    """Delete without an undo. Raises SternaError."""
    if removal.forgets:
        _forget(removal)
    for path in removal.paths:
        try:
            if os.path.isdir(path) and not os.path.islink(path):
                shutil.rmtree(path)
            else:
                os.unlink(path)
        except FileNotFoundError:
            continue
        except OSError as error:
            raise SternaError(
                "not_allowed",
                f"{path} cannot be deleted: {error.strerror}.",
                "It may belong to a program of another user: delete it with that program.",
            ) from error


def _by_root(copies: Sequence[Copy]) -> dict[tuple[str, str], list[Copy]]:
    groups: dict[tuple[str, str], list[Copy]] = {}
    for copy in copies:
        if copy.connected:
            groups.setdefault((copy.store, copy.root), []).append(copy)
    return groups


def _outermost(paths: list[str]) -> tuple[str, ...]:
    """Return the paths without those that lie below another of them."""
    folders = {path for path in paths if os.path.isdir(path) and not os.path.islink(path)}
    return tuple(
        path for path in paths if not any(path.startswith(f"{folder}/") for folder in folders)
    )


def _forget(removal: Removal) -> None:
    places = [(os.fsencode(copy.origin or str(copy.path)),) for copy in removal.copies]
    with closing(Database.open()) as database, database.writing() as connection:
        connection.executemany("DELETE FROM library_models WHERE place = ?", places)
