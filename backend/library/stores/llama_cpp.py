"""llama.cpp's own cache: plain files with notes beside them, and since 2026 the Hub cache's layout."""

import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from backend.library.model import Copy, Found
from backend.library.stores.folder import plain_leftovers, plain_models
from backend.library.stores.hugging_face import HubLayout
from backend.library.stores.store import Belongings, Leftover
from backend.settings import Settings

_NOTES = (".json", ".etag")  # what it keeps beside a file of its older cache


def _usual() -> Path:
    if sys.platform == "darwin":
        return Path("~/Library/Caches/llama.cpp").expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "llama.cpp"


class LlamaCpp(HubLayout):
    """What llama.cpp downloaded."""

    name, title = "llama.cpp", "llama.cpp"

    def roots(self, settings: Settings) -> list[Path]:
        """Return the folder that the environment names, or the usual one."""
        named = os.environ.get("LLAMA_CACHE")
        return [Path(named).expanduser()] if named else [_usual()]

    def models(self, root: str) -> Iterator[Found]:
        """Yield the models of both layouts."""
        yield from super().models(root)
        for found in plain_models(self.name, root):
            if not self.holds(root, found.path):
                yield found

    def leftovers(self, root: str) -> Iterator[Leftover]:
        """Yield unfinished downloads of both layouts."""
        yield from super().leftovers(root)
        for left in plain_leftovers(self, root):
            if not self.holds(root, left.path):
                yield left

    def belongings(self, copies: Sequence[Copy]) -> Belongings:
        """Return what goes of the Hub's layout, and the other files with the notes beside them."""
        laid_out = [copy for copy in copies if self.holds(copy.root, str(copy.path))]
        of_hub = super().belongings(laid_out)
        files = [file.path for copy in copies if copy not in laid_out for file in copy.files]
        notes = [path + end for path in files for end in _NOTES if os.path.lexists(path + end)]
        return Belongings((*of_hub.paths, *files, *notes), of_hub.kept)
