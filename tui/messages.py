"""What screens and workers tell the app. Workers only post; handlers own the state."""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.library import LibraryModel
    from backend.train.run.folder import RunFolder
    from tui.runs import Run
    from tui.state import Engine, Hardware


@dataclass
class RescanWanted(Message):
    """Somebody asks to look for models again."""


@dataclass
class LibraryRead(Message):
    """A look over the stores has ended, or found something."""

    models: tuple[LibraryModel, ...]
    error: SternaError | None = None
    notices: tuple[str, ...] = ()  # what the person should know
    ended: bool = True  # or there is more to come


@dataclass
class ChatWanted(Message):
    """Chat with this model, in a new conversation."""

    model: LibraryModel


@dataclass
class AdapterWanted(Message):
    """Chat with this model and an adapter beside it, in a new conversation."""

    model: LibraryModel
    adapter: LibraryModel


@dataclass
class EngineChanged(Message):
    """The engine is in another state."""

    engine: Engine


@dataclass
class HardwareChanged(Message):
    """The machine was read or measured again, or another one is supposed."""

    hardware: Hardware


class MemoryWanted(Message):
    """Look at what is free now."""


class MachineWanted(Message):
    """Show what this machine is."""


class ReadingWanted(Message):
    """Somebody asks to look at the machine again."""


@dataclass
class MeasureWanted(Message):
    """Measure what predictions for these tensor types ask for; `again`: everything anew."""

    types: tuple[str, ...] = ()
    again: bool = False


@dataclass
class SimulationWanted(Message):
    """Suppose another machine with so much memory free; neither: this one."""

    ram: int | None = None
    vram: int | None = None


@dataclass
class ModeWanted(Message):
    """Open this mode."""

    mode: str


class NewChat(Message):
    """Begin a new chat."""


@dataclass
class ModelWanted(Message):
    """Load the model of this name (name and quant), as a kept chat remembers it."""

    name: str


@dataclass
class TrainWanted(Message):
    """Train on this model."""

    model: LibraryModel


@dataclass
class RunStarted(Message):
    """A run trains, or a race of several (`folder` is None): its process is this app's child."""

    folder: RunFolder | None
    process: subprocess.Popen[bytes]


@dataclass
class RunsFound(Message):
    """Runs on disk were read from their beginning."""

    found: list[Run]


@dataclass
class RunWatched(Message):
    """Show this run in the side pane."""

    run: Run


@dataclass
class BesideWanted(Message):
    """Talk to the base of a run beside what it learned."""

    run: Run


class RunsLookWanted(Message):
    """Runs came or went: look at the disk again."""
