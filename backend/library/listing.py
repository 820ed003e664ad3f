"""The listing: every store looked over, new files looked into, equal contents joined."""

import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from backend import settings as configuration
from backend.database import Database
from backend.errors import SternaError
from backend.library import hashes
from backend.library.files import filesystem, without_part
from backend.library.hashes import Hashes
from backend.library.index import Index
from backend.library.marks import Marks
from backend.library.model import Copy, File, Found, LibraryModel
from backend.library.stores import Root, roots
from backend.library.summary import Summary, look_into

_LISTED = ("model", "adapter", "checkpoint")
AWAY = "Its disk is not connected."

# Told a function that returns what was found so far: to join it takes time, so not for every file.
Progress = Callable[[Callable[[], list[LibraryModel]]], None]


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything that was found. `others` are files that no list shows (projectors, vocabularies).

    `away` are the roots whose disk is not connected. `notices` are what the person should know.
    """

    models: list[LibraryModel]
    others: list[LibraryModel]
    roots: list[Root]
    away: list[str]
    notices: list[str] = field(default_factory=list)


class _Survey:
    """One look over all stores."""

    def __init__(self, database: Database) -> None:
        self._database = database
        with database.reading() as connection:
            self.index = Index(connection)
            self.hashes = Hashes(connection)
            self.marks = Marks(connection)
        self.connected: dict[str, str] = {}  # roots, with their file systems
        self.away: list[str] = []
        self._found: list[tuple[Found, Summary, bool]] = []

    def look_over(self, root: Root, progress: Callable[[], None]) -> None:
        """Take in one root: what is there, or what was there when it was last connected."""
        seen = 0
        for found in root.store.models(root.path):
            known = self.index.get(found)
            summary = known or look_into(found)
            self._found.append((found, summary, True))
            seen += 1
            if known is None:
                self.index.put(found, summary)
                progress()
        if not seen and self._is_away(root):
            self.away.append(root.path)
            remembered = self.index.remembered(root.path)
            self._found += ((found, summary, False) for found, summary in remembered)
        else:
            self.connected[root.path] = filesystem(root.path)

    def _is_away(self, root: Root) -> bool:
        """Whether an empty root is a disk that is not connected, and no folder that was emptied."""
        known = self.index.filesystem(root.path)
        return known is not None and known != filesystem(root.path)

    def save(self) -> None:
        """Write what is new; a database that cannot be written is no reason to stop."""
        places = {found.place for found, _, _ in self._found}
        files = [file for found, _, there in self._found if there for file in found.files]
        moved = self.hashes.moved(files)
        gone = self.hashes.gone({file.path for file in files}, self.away)
        if not (moved or gone or self.index.changed(places, self.connected)):
            return
        with suppress(SternaError), self._database.writing() as connection:
            for file in moved:
                known = self.hashes.of(file)
                if known is not None:
                    hashes.record(connection, file, known.sha256, known.expected)
            hashes.forget(connection, gone)
            self.index.save(connection, places, self.connected)

    def models(self) -> list[LibraryModel]:
        """Return what was found so far, the places of one content joined."""
        by_content: dict[object, list[tuple[Found, Summary, bool]]] = {}
        named = self._hashes_by_inode()
        for found, summary, there in self._found:
            known = self._with_hashes(found, named) if there else found
            by_content.setdefault(_content(known, there), []).append((known, summary, there))
        return [self._joined(places) for places in by_content.values()]

    def _hashes_by_inode(self) -> dict[tuple[int, int], str]:
        """Return the hashes that a store's names tell, so that other names of the same file share them."""
        return {
            (file.device, file.inode): file.sha256
            for found, _, there in self._found
            for file in found.files
            if there and file.sha256
        }

    def _with_hashes(self, found: Found, named: dict[tuple[int, int], str]) -> Found:
        files = tuple(self._with_hash(file, named) for file in found.files)
        return found if files == found.files else msgspec.structs.replace(found, files=files)

    def _with_hash(self, file: File, named: dict[tuple[int, int], str]) -> File:
        computed = self.hashes.of(file)
        sha256 = computed.sha256 if computed else named.get((file.device, file.inode))
        return msgspec.structs.replace(file, sha256=sha256) if sha256 != file.sha256 else file

    def _joined(self, places: list[tuple[Found, Summary, bool]]) -> LibraryModel:
        places.sort(key=lambda place: not place[2])  # what is connected stands for the rest
        first, summary, there = places[0]
        copies = _copies(places)
        sha256 = first.files[0].sha256 if len(first.files) == 1 else None
        mark = self.marks.of([place[0].path for place in places], sha256)
        return LibraryModel(
            name=copies[0].name,
            path=copies[0].path,
            store=first.store,
            arch=summary.arch,
            params=summary.params,
            quant=summary.quant,
            bytes=first.size,
            context=summary.context,
            last_used=mark.last_used,
            sha256=sha256,
            kind=summary.kind,
            error=(self._damage(first) or summary.error) if there else AWAY,
            copies=copies,
            favourite=mark.favourite,
            alias=mark.alias,
            note=mark.note,
        )

    def _damage(self, found: Found) -> str | None:
        """Return what is wrong with a file whose content was found to be another than its name says."""
        for file in found.files:
            computed = self.hashes.of(file)
            if computed is not None and computed.expected is not None:
                return f"{os.path.basename(file.path)} is damaged: its content has changed."
        return None


def _content(found: Found, there: bool) -> object:
    """Return what is equal for equal contents: hashes where they are known, else the files themselves."""
    if not there and not found.files[0].sha256:
        return found.place
    return tuple(file.sha256 or (file.device, file.inode) for file in found.files)


def _copies(places: list[tuple[Found, Summary, bool]]) -> tuple[Copy, ...]:
    """Return the places, each once: a folder may be reached by two roots."""
    copies: dict[str, Copy] = {}
    for found, summary, there in places:
        place = os.path.realpath(found.place) if len(places) > 1 else found.place
        if place not in copies:
            copies[place] = Copy(
                found.store,
                _name(found, summary),
                Path(found.path),
                found.root,
                found.files,
                found.origin,
                there,
            )
    return tuple(copies.values())


def _name(found: Found, summary: Summary) -> str:
    inside = summary.title if found.store == "starter" else ""
    name = found.name or inside or without_part(os.path.basename(found.path))
    return name if found.name else name.removesuffix(".gguf")


def survey(
    settings: configuration.Settings | None = None, *, progress: Progress | None = None
) -> Listing:
    """Look over every store; files that cannot be used are listed with their error.

    `progress` is called each time that a new file was looked into, which may take long. Raises
    SternaError `bad_settings`.
    """
    settings = settings or configuration.load()
    try:
        database = Database.open()
    except SternaError as error:
        notice = f"The library is read afresh each time: {error.message} {error.hint}".rstrip()
        return _surveyed(Database.in_memory(), settings, [notice], progress)
    return _surveyed(database, settings, list(database.notices), progress)


def _surveyed(
    database: Database,
    settings: configuration.Settings,
    notices: list[str],
    progress: Progress | None,
) -> Listing:
    try:
        look = _Survey(database)
        every = roots(settings)

        def so_far() -> list[LibraryModel]:
            return _listed(look.models())

        for root in every:
            look.look_over(root, lambda: progress(so_far) if progress else None)
        look.save()
        models = look.models()
        others = [model for model in models if not _is_listed(model)]
        return Listing(_listed(models), others, every, look.away, notices)
    finally:
        database.close()


def _is_listed(model: LibraryModel) -> bool:
    return model.kind in _LISTED or model.error is not None


def _listed(models: Iterable[LibraryModel]) -> list[LibraryModel]:
    return [model for model in models if _is_listed(model)]


def scan(settings: configuration.Settings | None = None) -> list[LibraryModel]:
    """Return the models of every store: `survey`, and no more than that."""
    return survey(settings).models
