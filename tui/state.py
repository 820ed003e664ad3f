"""What is shared by every screen, as values. The app owns them; widgets only read."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.hub.queue import Item
    from backend.library import LibraryModel
    from backend.machine import Machine


@dataclass(frozen=True, slots=True)
class Memory:
    """RAM of this machine in bytes, as an application sees it (a container's limit counts)."""

    used: int
    total: int
    engine: int = 0  # what the engine's process holds of it

    @property
    def free(self) -> int:
        """What is left."""
        return self.total - self.used


@dataclass(frozen=True, slots=True)
class Hardware:
    """What the probes found, or what is supposed in its place. `reading` grows with each change of it.

    A model that is chosen takes the place of the one that is loaded, so what the engine holds counts as
    free in `machine`.
    """

    machine: Machine | None = None
    reading: int = 0
    measuring: str = ""  # what is being measured, empty: nothing


@dataclass(frozen=True, slots=True)
class Library:
    """The models on disk. `scanned` is false until the first look has ended."""

    models: tuple[LibraryModel, ...] = ()
    scanned: bool = False
    scanning: bool = False
    error: SternaError | None = None


class Phase(enum.Enum):
    """Where the engine is. The value is its glyph and word: colour only repeats it."""

    NONE = "○ no model"
    LOADING = "◐ loading"
    READY = "● ready"
    ANSWERING = "▶ answering"
    FAILED = "✗ failed"


@dataclass(frozen=True, slots=True)
class Engine:
    """The model in memory and what it is doing."""

    phase: Phase = Phase.NONE
    path: Path | None = None
    name: str = ""
    quant: str = ""
    adapter: str = ""  # the run whose adapter stands beside it
    bytes: int = 0
    context: int | None = None  # tokens the engine was started with
    used: int | None = None  # tokens of the conversation on screen
    weights: int = 0  # bytes that it planned for the weights
    cache: int = 0  # and for keys and values of a full context
    detail: str = ""  # what it is loading
    error: SternaError | None = None

    @property
    def usable(self) -> bool:
        """Whether it can take a message now."""
        return self.phase in (Phase.READY, Phase.ANSWERING)


@dataclass(frozen=True, slots=True)
class Downloads:
    """The queue of downloads. `error` says why it cannot be worked on."""

    items: tuple[Item, ...] = ()
    error: SternaError | None = None

    @property
    def waiting(self) -> tuple[Item, ...]:
        """What is being fetched, and what will be, in that order."""
        return tuple(item for item in self.items if item.state in ("running", "queued"))

    def of(self, repo: str, quant: str) -> Item | None:
        """Return the download of a quant of a repository, the latest where there are several."""
        return next((i for i in self.items if (i.order.repo, i.order.quant) == (repo, quant)), None)
