"""Folders of plain files: Sterna's own, those of the settings, and the model that ships with Sterna."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend import paths
from backend.errors import SternaError
from backend.library.files import LINKING, grouped, is_model, look_at, walk
from backend.library.model import Copy, Found
from backend.library.stores.checkpoints import belonging_to, weights_of
from backend.library.stores.store import (
    Belongings,
    Leftover,
    Store,
    is_settled,
    leftover,
    names_in,
)
from backend.settings import Settings

_PARTIAL = re.compile(
    r".*\.(gguf|safetensors)\.(part|incomplete|downloadInProgress|download|crdownload|tmp)",
    re.DOTALL | re.IGNORECASE,
)


def plain_models(store: str, root: str, *, named: bool = False) -> Iterator[Found]:
    """Yield the models and checkpoints below a folder; with `named`, called by their path in it."""
    for where, files in walk(root):
        by_name = {entry.name: entry.path for entry in files}
        found = [(by_name[n[0]], n) for n in grouped([name for name in by_name if is_model(name)])]
        if weights := weights_of(by_name):
            found.append((where, weights))
        for path, names in found:
            looked = [look_at(by_name[name]) for name in names]
            parts = tuple(file for file in looked if file is not None)
            if parts:
                path = path if path == where else parts[0].path
                yield Found(
                    path, store, root, parts, path[len(root) :].lstrip("/") if named else ""
                )


def plain_belongings(copies: Sequence[Copy]) -> Belongings:
    """Return the files of these copies; of a checkpoint its whole folder, where nothing else is in it."""
    gone: list[str] = []
    for copy in copies:
        if not copy.is_folder:
            gone += [file.path for file in copy.files]
            continue
        folder = str(copy.path)
        names = names_in(folder)
        parts = belonging_to(names)
        whole = len(parts) == len(names) and folder != copy.root
        gone += [folder] if whole else [f"{folder}/{name}" for name in parts]
    return Belongings(tuple(gone))


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


class Plain(Store):
    """Folders in which models lie as they please."""

    def models(self, root: str) -> Iterator[Found]:
        """Yield the models and checkpoints below one."""
        return plain_models(self.name, root)

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return the files, or the folders of checkpoints."""
        return plain_belongings(copies)

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished files."""
        return plain_leftovers(self, root)


class Own(Plain):
    """Sterna's own folder."""

    name, title = "sterna", "Sterna"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the folder."""
        return [paths.models_dir()]


class Folders(Plain):
    """The folders that the settings name: disks that come and go among them."""

    name, title = "folder", "folders"

    def roots(self, settings: Settings) -> list[Path]:
        """Return them."""
        return [Path(name).expanduser() for name in settings.library.folders]
