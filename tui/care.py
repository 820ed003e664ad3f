"""What the app does to the library, in threads: nothing here touches a widget.

Each function imports what it needs when it is called: the first screen paints without the library.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backend.pace import Pace

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from backend.library.background import Hasher
    from backend.library.disk import DiskUse
    from backend.library.duplicates import Duplicate
    from backend.library.model import File
    from backend.library.removal import Removal
    from backend.library.stores import Leftover
    from backend.library.verification import Check
    from backend.settings import Settings

_EVERY = 0.1  # seconds between two pieces of news

News = Callable[[str, Pace], None]
Stop = Callable[[], bool]


def plans(model: LibraryModel) -> tuple[Removal, Removal | None]:
    """Return what deleting a model would do where it is listed, and everywhere. Raises SternaError."""
    from backend.library import removal

    one = removal.plan(model, model.copies[:1])
    return one, removal.plan(model, model.copies) if len(model.copies) > 1 else None


def delete(removal: Removal) -> bool:
    """Do it; return whether it can be undone. Raises SternaError."""
    from backend.library.removal import remove

    return remove(removal, "app") is not None


def undo(settings: Settings) -> int:
    """Bring back what this app deleted last; return how many things. Raises SternaError."""
    from backend.library import trash
    from backend.library.stores import roots

    own = trash.mine(trash.entries(roots(settings)))
    return trash.restore(own[-1]) if own else 0


def empty_trash(settings: Settings) -> None:
    """Free what this app deleted."""
    from backend.library import trash
    from backend.library.stores import roots

    trash.empty(trash.mine(trash.entries(roots(settings))))


def sweep(settings: Settings) -> list[str]:
    """Put in order what an app that died has left; return what there is to say about it."""
    from backend.library import trash
    from backend.library.stores import roots

    return trash.sweep(roots(settings))


def note(
    model: LibraryModel,
    others: Sequence[LibraryModel],
    *,
    favourite: bool | None = None,
    alias: str | None = None,
    note: str | None = None,
) -> None:
    """Keep what the person noted about a model. Raises SternaError."""
    from backend.library import mark

    mark(model, favourite=favourite, alias=alias, note=note, others=tuple(others))


def verify(models: Sequence[LibraryModel], news: News, stop: Stop) -> list[Check]:
    """Read models and compare their hashes; what was found before a stop is returned."""
    from backend.library import verification
    from backend.library.hashing import StoppedError

    files = verification.files_of(models)
    told = _told(sum(file.size for copy, file in files if copy.connected), news)
    found = []
    try:
        for check in verification.verify(files, progress=told, stop=stop):
            found.append(check)
    except StoppedError:
        pass
    return found


def unhashed(models: Sequence[LibraryModel]) -> list[File]:
    """Return the files whose hash is not known."""
    from backend.library import background

    return background.unhashed(models)


def hasher(files: list[File], done: Callable[[], None]) -> Hasher:
    """Begin to hash files at the lowest priority; `done` is called in that thread."""
    from backend.library.background import Hasher

    thread = Hasher(files, done)
    thread.start()
    return thread


def disk_use(settings: Settings, news: News, stop: Stop) -> DiskUse:
    """Add up what models take of the disks; equal sizes are hashed first. Raises StoppedError."""
    from backend.library import survey
    from backend.library.background import remember
    from backend.library.disk import use
    from backend.library.duplicates import alike

    listing = survey(settings)
    files: list[File] = alike([*listing.models, *listing.others])
    if files:
        remember(files, progress=_told(sum(file.size for file in files), news), stop=stop)
        listing = survey(settings)
    return use(listing)


def link(found: Sequence[Duplicate], news: News, stop: Stop) -> int:
    """Replace duplicates by hard links; return the bytes freed. Raises SternaError, StoppedError."""
    from backend.library import duplicates

    files = [file for one in found if one.others for file in (one.kept, *one.others)]
    told = _told(sum(file.size for file in files), news)
    return sum(duplicates.link(one, progress=told, stop=stop) for one in found if one.others)


def delete_leftovers(found: Sequence[Leftover]) -> bool:
    """Move leftovers to the trash; return whether there was anything. Raises SternaError."""
    from backend.library.disk import remove_leftovers

    return remove_leftovers(found, "app") is not None


def _told(total: int, news: News) -> Callable[[str, int], None]:
    """Return what counts bytes and passes on the news now and then."""
    pace, last = Pace(total), 0.0

    def progress(path: str, count: int) -> None:
        nonlocal last
        pace.advance(count)
        if time.monotonic() - last >= _EVERY:
            last = time.monotonic()
            news(path.rpartition("/")[2], pace)

    return progress
