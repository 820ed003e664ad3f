"""Folders of plain files: Sterna's own, those of the settings, and the model that ships with Sterna."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend import paths
from backend.errors import SternaError
from backend.library.files import LINKING, grouped, is_model, look_at, walk
from backend.library.model import Copy, Found
from backend.library.stores.store import Belongings, Leftover, Store, is_settled, leftover
from backend.settings import Settings

_PARTIAL = re.compile(
    r".*\.(gguf|safetensors)\.(part|incomplete|downloadInProgress|download|crdownload|tmp)",
    re.DOTALL | re.IGNORECASE,
)


def plain_models(store: str, root: str, *, named: bool = False) -> Iterator[Found]:
    """Yield the models below a folder; with `named`, called by their path in it."""
    for _where, files in walk(root):
        paths_by_name = {entry.name: entry.path for entry in files if is_model(entry.name)}
        for names in grouped(list(paths_by_name)):
            looked = [look_at(paths_by_name[name]) for name in names]
            parts = tuple(file for file in looked if file is not None)
            if parts:
                name = parts[0].path[len(root) :].lstrip("/") if named else ""
                yield Found(parts[0].path, store, root, parts, name)


def plain_leftovers(store: Store, root: str) -> Iterator[Leftover]:
    """Yield the unfinished downloads below a folder, known by the ends of their names."""
    for _where, files in walk(root, follow=False):
        for entry in files:
            if _PARTIAL.fullmatch(entry.name) or entry.name.endswith(LINKING):
                file = look_at(entry.path)
                if file is not None and is_settled(file):
                    yield leftover(store, root, "partial", file)


class Starter(Store):
    """The model that ships with Sterna."""

    name, title = "starter", "Sterna"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the one file."""
        return [paths.asset("starter.gguf")]

    def models(self, root: str) -> Iterator[Found]:
        """Yield the one model."""
        if (file := look_at(root)) is not None:
            yield Found(root, self.name, root, (file,))

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Refuse: it is a part of the program."""
        raise SternaError(
            "not_deletable",
            "The starter model is a part of Sterna.",
            "It goes when Sterna is uninstalled.",
        )


class Own(Store):
    """Sterna's own folder."""

    name, title = "sterna", "Sterna"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the folder."""
        return [paths.models_dir()]

    def models(self, root: str) -> Iterator[Found]:
        """Yield the models in it."""
        return plain_models(self.name, root)

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished files."""
        return plain_leftovers(self, root)


class Folders(Store):
    """The folders that the settings name: disks that come and go among them."""

    name, title = "folder", "folders"

    def roots(self, settings: Settings) -> list[Path]:
        """Return them."""
        return [Path(name).expanduser() for name in settings.library.folders]

    def models(self, root: str) -> Iterator[Found]:
        """Yield the models below one."""
        return plain_models(self.name, root)

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished files."""
        return plain_leftovers(self, root)
