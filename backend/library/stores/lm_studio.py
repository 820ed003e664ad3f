"""LM Studio: PUBLISHER/MODEL/FILE.gguf below a folder that its settings may move."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.library.files import entries
from backend.library.model import Copy, Found
from backend.library.stores.folder import plain_belongings, plain_leftovers, plain_models
from backend.library.stores.json_files import read_object
from backend.library.stores.store import Belongings, Leftover, Store
from backend.settings import Settings


def _homes() -> list[Path]:
    homes = [Path("~/.lmstudio").expanduser(), Path("~/.cache/lm-studio").expanduser()]
    pointer = Path("~/.lmstudio-home-pointer").expanduser()
    try:
        with pointer.open(errors="surrogateescape") as file:
            named = file.readline(4096).strip()
    except OSError:
        return homes
    return [Path(named).expanduser(), *homes] if named else homes


class LMStudio(Store):
    """The models of LM Studio."""

    name, title = "lmstudio", "LM Studio"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the folder of models of each place where LM Studio may live."""
        if not settings.library.lm_studio:
            return []
        roots = []
        for home in _homes():
            moved = read_object(home / "settings.json").get("downloadsFolder")
            roots += [Path(moved).expanduser()] if isinstance(moved, str) and moved else []
            roots.append(home / "models")
        return roots

    def models(self, root: str) -> Iterator[Found]:
        """Yield its models."""
        return plain_models(self.name, root, named=True)

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished downloads."""
        return plain_leftovers(self, root)

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return the files, and instead of them their folder when nothing else is in it."""
        folders = [copy for copy in copies if copy.is_folder]
        files = [file.path for copy in copies if not copy.is_folder for file in copy.files]
        paths = dict.fromkeys(files)
        for folder in {os.path.dirname(path) for path in files} - {copy.root for copy in copies}:
            inside = [entry.path for entry in entries(folder)]
            if set(inside) <= set(files):
                paths = {path: None for path in paths if path not in inside} | {folder: None}
        return Belongings((*paths, *plain_belongings(folders).paths))
