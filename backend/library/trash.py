"""Deleting that can be undone: files are moved into a trash on their own disk, at once and back at once.

An entry of the trash is a folder that holds what was deleted under its old path, so that it needs no
list that could be lost, and works on a full disk:

    TRASH/1800000000000-app.1234.1799999990/home/me/models/tern.gguf

Its name tells when it was made and by whom. Entries of the app are emptied when it ends, those of the
command line after a day. One whose maker died while it was moving things ends in `.moving`: it is put
back at the next start. One that is being emptied ends in `.emptying`.
"""

import errno
import itertools
import os
import re
import shutil
import stat
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress

import msgspec

from backend import paths
from backend.errors import SternaError
from backend.library.files import TRASH
from backend.library.stores import Root
from backend.processes import lives, this_process

KEPT = 24 * 3600.0  # seconds that what the command line deleted can be brought back
_NAME = re.compile(
    r"(?P<at>\d+)-(?P<kind>app|cli)\.(?P<pid>\d+)\.(?P<born>\d+)(?P<state>\.moving|\.emptying)?"
)
_numbers = itertools.count()
_lock = threading.Lock()


class Entry(msgspec.Struct, frozen=True):
    """What one deletion moved away. `folders` are its parts, one in each trash that it needed."""

    name: str
    at: float  # seconds since 1970
    kind: str  # app or cli
    alive: bool  # whether the process that made it still runs
    state: str  # "", moving or emptying
    folders: tuple[str, ...]

    @property
    def expired(self) -> bool:
        """Whether nobody can want it back any more."""
        return not self.alive if self.kind == "app" else time.time() - self.at > KEPT

    @property
    def paths(self) -> list[str]:
        """Where its files were."""
        return [place for folder in self.folders for _, place in _contents(folder)]

    @property
    def bytes(self) -> int:
        """Bytes that emptying it frees."""
        return freed(self.folders)


def delete(things: Iterable[str], roots: Iterable[str], kind: str) -> str:
    """Move files and folders into the trash and return the entry's name.

    Nothing is moved unless all can be. `roots` are the folders of their stores. Raises SternaError:
    not_allowed, no_trash, not_found.
    """
    with _lock:
        now = time.time_ns() // 1_000_000 + next(_numbers)
        name = f"{now}-{kind}.{this_process().replace(':', '.')}"
    bases = dict.fromkeys(base for root in roots for base in _bases(root))
    moved: list[tuple[str, str]] = []
    folders: set[str] = set()
    try:
        for thing in things:
            folder = _move(thing, bases, f"{name}.moving", moved)
            folders.add(folder)
    except BaseException:
        for place, thing in reversed(moved):
            with suppress(OSError):
                os.rename(place, thing)
        for folder in folders:
            shutil.rmtree(folder, ignore_errors=True)
        raise
    for folder in folders:
        os.rename(folder, folder.removesuffix(".moving"))
    return name


def entries(roots: Iterable[Root]) -> list[Entry]:
    """Return what lies in the trashes of these roots' disks, the oldest first."""
    folders: dict[str, list[str]] = {}
    for base in dict.fromkeys(base for root in roots for base in _bases(root.path)):
        with suppress(OSError):
            for name in os.listdir(base):
                folders.setdefault(name.partition(".moving")[0], []).append(f"{base}/{name}")
    found = [_entry(name, parts) for name, parts in folders.items()]
    return sorted((entry for entry in found if entry), key=lambda entry: (entry.at, entry.name))


def restore(entry: Entry) -> int:
    """Put everything back where it was; return how many files and folders.

    Raises SternaError `occupied` when something else has taken a place; the rest is put back, and
    what could not be stays in the trash.
    """
    count, taken = 0, []
    for folder in entry.folders:
        for place, original in list(_contents(folder)):
            if not os.path.lexists(place):
                continue  # went back with the folder above it
            done = _put_back(folder, place, original)
            count += done
            if not done:
                taken.append(original)
        if not any(True for _ in _contents(folder)):
            shutil.rmtree(folder, ignore_errors=True)
            _prune(os.path.dirname(folder), os.path.dirname(folder))
    if taken:
        more = f" and {len(taken) - 1} more" if len(taken) > 1 else ""
        raise SternaError(
            "occupied",
            f"Something else is at {taken[0]}{more} now.",
            "Move that away, then undo again.",
        )
    return count


def empty(found: Iterable[Entry]) -> None:
    """Delete entries for good."""
    for entry in found:
        for folder in entry.folders:
            doomed = folder if folder.endswith(".emptying") else f"{folder}.emptying"
            with suppress(OSError):
                os.rename(folder, doomed)
            shutil.rmtree(doomed, ignore_errors=True)
            _prune(os.path.dirname(folder), os.path.dirname(folder))


def sweep(roots: Iterable[Root]) -> list[str]:
    """Empty what has expired, and put back what a process was moving when it died.

    Return a sentence for everything that was put back.
    """
    told = []
    for entry in entries(roots):
        if entry.state == "moving" and not entry.alive:
            with suppress(SternaError, OSError):
                if restore(entry):
                    told.append("A deletion that was cut short was undone.")
        elif entry.state == "emptying" or entry.expired:
            empty([entry])
    return told


def mine(found: Iterable[Entry]) -> list[Entry]:
    """Return the entries that this process made and that can be undone, the oldest first."""
    own = f".{this_process().replace(':', '.')}"
    return [entry for entry in found if entry.name.endswith(own) and not entry.state]


def freed(things: Iterable[str]) -> int:
    """Return the bytes that go with files and folders: of those that have no name elsewhere."""
    names: dict[tuple[int, int], int] = {}
    sizes: dict[tuple[int, int], tuple[int, int]] = {}
    for path in _files(things):
        with suppress(OSError):
            status = os.lstat(path)
            if not stat.S_ISREG(status.st_mode):
                continue
            key = status.st_dev, status.st_ino
            names[key] = names.get(key, 0) + 1
            sizes[key] = status.st_nlink, status.st_size
    return sum(size for key, (links, size) in sizes.items() if names[key] >= links)


def _files(things: Iterable[str]) -> Iterator[str]:
    for thing in things:
        if os.path.isdir(thing) and not os.path.islink(thing):
            for where, _, names in os.walk(thing):
                yield from (f"{where}/{name}" for name in names)
        else:
            yield thing


def _bases(root: str) -> tuple[str, ...]:
    """Return the folders that may be the trash of a root: Sterna's own where the disk is the same."""
    return f"{paths.data_dir()}/trash", f"{os.path.dirname(root)}/{TRASH}", f"{root}/{TRASH}"


def _move(thing: str, bases: Iterable[str], name: str, moved: list[tuple[str, str]]) -> str:
    """Move one thing into the first trash that is on its disk; return the entry's folder there."""
    thing = os.path.abspath(thing)
    for base in bases:
        folder = f"{base}/{name}"
        place = folder + thing
        try:
            os.makedirs(os.path.dirname(place), mode=0o700, exist_ok=True)
            os.rename(thing, place)
        except OSError as error:
            _prune(os.path.dirname(place), base)
            if error.errno == errno.ENOENT and not os.path.lexists(thing):
                raise SternaError(
                    "not_found", f"{thing} is gone already.", "Look again: `sterna ls`."
                ) from None
            reason = error
            continue
        moved.append((place, thing))
        return folder
    raise _refused(thing, reason)


def _prune(folder: str, base: str) -> None:
    """Remove empty folders, up to and with the trash itself."""
    with suppress(OSError):
        while len(folder) >= len(base):
            os.rmdir(folder)
            folder = os.path.dirname(folder)


def _refused(thing: str, error: OSError) -> SternaError:
    if error.errno in (errno.EXDEV, errno.ENOSPC):
        return SternaError(
            "no_trash",
            f"There is no place on the disk of {thing} to keep it for an undo.",
            "`sterna rm --now` deletes for good.",
        )
    return SternaError(
        "not_allowed",
        f"{thing} may not be deleted: {error.strerror}.",
        "It may belong to a program of another user: delete it with that program.",
    )


def _entry(name: str, folders: list[str]) -> Entry | None:
    match = _NAME.fullmatch(os.path.basename(folders[0]))
    if match is None:
        return None
    states = {folder.rpartition(".")[2] for folder in folders} & {"moving", "emptying"}
    return Entry(
        name.removesuffix(".emptying"),
        int(match["at"]) / 1000,
        match["kind"],
        lives(f"{match['pid']}:{match['born']}"),
        next(iter(states), ""),
        tuple(folders),
    )


def _contents(folder: str) -> Iterator[tuple[str, str]]:
    """Yield every file and link of an entry, and every empty folder, with its old path."""
    for where, below, names in os.walk(folder):
        for name in names:
            yield f"{where}/{name}", f"{where}/{name}"[len(folder) :]
        for name in below:
            if os.path.islink(f"{where}/{name}"):
                yield f"{where}/{name}", f"{where}/{name}"[len(folder) :]


def _put_back(folder: str, place: str, original: str) -> bool:
    """Move a file back, or the highest folder above it that is missing at its old place."""
    if os.path.lexists(original):
        return False
    while not os.path.lexists(os.path.dirname(original)) and os.path.dirname(place) != folder:
        place, original = os.path.dirname(place), os.path.dirname(original)
    os.rename(place, original)
    return True
