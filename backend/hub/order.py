"""What is to be fetched, and what was. Light, so that the app may know the queue without its workers."""

from dataclasses import dataclass
from pathlib import Path

from backend.hub.variants import RemoteFile


@dataclass(frozen=True)
class Order:
    """What is to be fetched: files of a repository at one commit. `license` is told, not judged."""

    repo: str
    commit: str
    files: tuple[RemoteFile, ...]
    quant: str = ""
    revision: str = "main"
    license: str = ""

    @property
    def bytes(self) -> int:
        """All its bytes, as far as the Hub says."""
        return sum(file.size or 0 for file in self.files)


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is in the cache. `linked` tells that it was on this disk already."""

    path: Path
    bytes: int
    sha256: str
    linked: bool = False
