"""What is to be fetched, and what was. Light, so that the app may know the queue without its workers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from backend.hub.variants import RemoteFile, Variant

if TYPE_CHECKING:
    from backend.hub.repository import Repository


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


def order_of(found: Repository, variant: Variant) -> Order:
    """Return what to fetch for a variant of a repository."""
    return Order(
        repo=found.repo,
        commit=found.commit,
        files=variant.files,
        quant=variant.quant,
        revision=found.revision,
        license=found.model.license,
    )


@dataclass(frozen=True, slots=True)
class Fetched:
    """A file that is in the cache. `linked` tells that it was on this disk already."""

    path: Path
    bytes: int
    sha256: str
    linked: bool = False
