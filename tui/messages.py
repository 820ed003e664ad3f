"""What screens and workers tell the app. Workers only post; handlers own the state."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from textual.message import Message

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.library import LibraryModel
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
