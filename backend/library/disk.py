"""What models take of the disks, and what of that is of no use to anybody."""

import os
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass

from backend.database import Database
from backend.errors import SternaError
from backend.library import trash
from backend.library.duplicates import Duplicate, duplicates
from backend.library.listing import Listing
from backend.library.model import Copy, File
from backend.library.stores import STORES, Leftover


@dataclass(frozen=True, slots=True)
class StoreUse:
    """What one root of a store holds. `free` bytes are left on its disk, None where that is away."""

    store: str
    path: str
    models: int
    bytes: int
    free: int | None


@dataclass(frozen=True, slots=True)
class DiskUse:
    """All of it. `bytes` counts a content with several names once."""

    stores: list[StoreUse]
    bytes: int
    duplicates: list[Duplicate]
    leftovers: list[Leftover]
    trash: list[trash.Entry]

    @property
    def reclaimable(self) -> int:
        """Bytes that can be had back without losing a model."""
        return (
            sum(duplicate.bytes for duplicate in self.duplicates)
            + sum(left.bytes for left in self.leftovers)
            + sum(entry.bytes for entry in self.trash)
        )


def use(listing: Listing) -> DiskUse:
    """Add up what a listing found, and look for leftovers. Empty roots are left out."""
    copies = [copy for model in [*listing.models, *listing.others] for copy in model.copies]
    stores = []
    for root in listing.roots:
        own = [copy for copy in copies if copy.root == root.path]
        if own:
            away = root.path in listing.away
            free = None if away else _free(root.path)
            count, size = len({copy.files[0].path for copy in own}), _bytes(own)
            stores.append(StoreUse(root.store.name, root.path, count, size, free))
    return DiskUse(
        stores,
        _bytes(copies),
        duplicates([*listing.models, *listing.others]),
        leftovers(listing),
        [entry for entry in trash.entries(listing.roots) if not entry.state],
    )


def leftovers(listing: Listing) -> list[Leftover]:
    """Return the partial and forgotten files of every root that is there, largest first."""
    wanted = _wanted()
    found = [
        left
        for root in listing.roots
        if root.path not in listing.away
        for left in root.store.leftovers(root.path)
        if left.why != "partial" or not any(f"/{repo}/" in left.path for repo in wanted)
    ]
    return sorted(found, key=lambda left: -left.bytes)


def _wanted() -> set[str]:
    """Return the folders of repositories that a download in the queue will go on with."""
    query = "SELECT repo FROM downloads WHERE state NOT IN ('done', 'cancelled')"
    try:
        with closing(Database.open()) as database, database.reading() as connection:
            return {f"models--{repo.replace('/', '--')}" for (repo,) in connection.execute(query)}
    except SternaError:
        return set()


def remove_leftovers(found: Iterable[Leftover], kind: str) -> str | None:
    """Move leftovers to the trash, with the links that name them; return the entry's name."""
    found = list(found)
    paths = dict.fromkeys(p for left in found for p in STORES[left.store].goes_with(left))
    if not paths:
        return None
    return trash.delete(paths, dict.fromkeys(left.root for left in found), kind)


def _bytes(copies: Iterable[Copy]) -> int:
    """Return the bytes of all files that are there, each once."""
    files: dict[tuple[int, int], File] = {}
    for copy in copies:
        for file in copy.files if copy.connected else ():
            files[file.device, file.inode] = file
    return sum(file.size for file in files.values())


def _free(path: str) -> int | None:
    try:
        status = os.statvfs(path)
    except OSError:
        return None
    return status.f_bavail * status.f_frsize
