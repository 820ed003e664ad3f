"""What takes room and need not, as things that a person can choose to have back."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from backend.units import human_bytes
from tui import care

if TYPE_CHECKING:
    from backend.library.disk import DiskUse
    from backend.library.duplicates import Duplicate
    from backend.library.stores import Leftover
    from backend.library.trash import Entry

_LEFT = {
    "partial": ("unfinished download", "unfinished downloads"),
    "unreferenced": ("file that nothing refers to", "files that nothing refers to"),
    "superseded": ("old revision beside a newer one", "old revisions beside newer ones"),
}


@dataclass(frozen=True, slots=True)
class Saving:
    """One thing that can be had back: what it is, how, and the paths it concerns.

    `do` is called in a thread with what it tells of its progress and what tells it to stop, and
    returns what there is to say. Raises SternaError and StoppedError.
    """

    title: str
    bytes: int
    verb: str
    paths: tuple[str, ...]
    do: Callable[[care.News, care.Stop], str]


def savings(found: DiskUse) -> list[Saving]:
    """Return everything that can be had back."""
    able = [one for one in found.duplicates if one.others]
    parts = [_of_duplicates(able)] if able else []
    for why in _LEFT:
        if left := [one for one in found.leftovers if one.why == why]:
            parts.append(_of_leftovers(why, left))
    return [*parts, *([_of_trash(found.trash)] if found.trash else [])]


def _of_duplicates(found: Sequence[Duplicate]) -> Saving:
    count = sum(len(one.others) for one in found)
    return Saving(
        f"{count} second cop{'y' if count == 1 else 'ies'} of the same content",
        sum(one.bytes for one in found),
        "make them one file",
        tuple(file.path for one in found for file in (one.kept, *one.others)),
        partial(_link, found),
    )


def _of_leftovers(why: str, left: Sequence[Leftover]) -> Saving:
    return Saving(
        f"{len(left)} {_LEFT[why][len(left) > 1]}",
        sum(one.bytes for one in left),
        "delete (u brings it back)",
        tuple(one.path for one in left),
        partial(_delete, left),
    )


def _of_trash(entries: Sequence[Entry]) -> Saving:
    return Saving(
        "what was deleted before",
        sum(entry.bytes for entry in entries),
        "free it for good",
        tuple(path for entry in entries for path in entry.paths),
        partial(_empty, entries),
    )


def _link(found: Sequence[Duplicate], news: care.News, stop: care.Stop) -> str:
    return f"{human_bytes(care.link(found, news, stop))} freed: equal files are one now."


def _delete(left: Sequence[Leftover], _news: care.News, _stop: care.Stop) -> str:
    care.delete_leftovers(left)
    return "Deleted. u in Models brings it back until Sterna ends."


def _empty(entries: Sequence[Entry], _news: care.News, _stop: care.Stop) -> str:
    from backend.library import trash

    trash.empty(entries)
    return "The trash is empty."
