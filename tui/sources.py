"""Where the app's facts come from. Tests hand in frozen ones; everything else is real.

Each source imports what it needs when it is first asked, so that the first screen paints before
the library, numpy or the database are loaded.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SternaError
from tui.state import Memory

if TYPE_CHECKING:
    from backend.chat.store import ChatStore
    from backend.gguf import ModelCard
    from backend.hub.catalogue import Catalogue
    from backend.hub.queue import Queue
    from backend.library import Listing
    from backend.library.listing import Progress
    from backend.machine import Machine
    from backend.settings import Settings


# The widest set that the kernels use, best first, in the words people know it by.
INSTRUCTION_SETS = (
    ("avx512_vnni", "AVX-512 VNNI"),
    ("avx512f", "AVX-512"),
    ("avx_vnni", "AVX-VNNI"),
    ("avx2", "AVX2"),
    ("i8mm", "i8mm"),
    ("asimddp", "dotprod"),
)


def read_settings() -> Settings:
    """Return the person's settings. Raises SternaError(bad_settings)."""
    from backend import settings

    return settings.load()


def has_settings() -> bool:
    """Return whether there is a settings file, without loading what would read it."""
    from backend import paths

    return paths.settings_file().exists()


def read_memory() -> Memory:
    """Return what of this machine's RAM is taken, a container's limit counted."""
    from backend.machine import memory

    ram = memory.read_memory()
    return Memory(used=ram.total - ram.available, total=ram.total)


def read_resident(pid: int) -> int:
    """Return the bytes that a process has in memory, 0 when it is gone."""
    import psutil

    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def read_hardware() -> Machine:
    """Return what the probes find, with what was measured before; may take a second."""
    from backend import machine

    return machine.read_machine()


def read_processor() -> str:
    """Return the processor in a few words, e.g. `8 cores AVX-512`."""
    from backend.machine import cpu

    found = cpu.read_cpu()
    cores = f"{found.cores} core{'s' if found.cores > 1 else ''}"
    best = next((word for flag, word in INSTRUCTION_SETS if flag in found.isa), "")
    return f"{cores} {best}".rstrip()


def read_library(settings: Settings, progress: Progress | None = None) -> Listing:
    """Return every model on disk. Raises SternaError."""
    from backend import library

    return library.survey(settings, progress=progress)


def read_card(path: Path) -> ModelCard:
    """Return what a model file says about itself. Raises SternaError."""
    from backend.gguf import describe, open_gguf

    with open_gguf(path) as file:
        return describe(file)


def open_history() -> tuple[ChatStore, list[str]]:
    """Return the store of chats, and what the person should know about it.

    When the disk cannot be used, chats work all the same, but are not kept: that is one of the
    notices.
    """
    from backend.chat.store import ChatStore
    from backend.database import Database

    try:
        database = Database.open()
    except SternaError as error:
        notice = f"Chats will not be kept: {error.message} {error.hint}"
        return ChatStore(Database.in_memory()), [notice.strip()]
    return ChatStore(database), list(database.notices)


def open_catalogue() -> Catalogue:
    """Return the Hub as the app uses it."""
    from backend.hub.catalogue import Catalogue

    return Catalogue()


def open_queue() -> Queue:
    """Return the queue of downloads. Raises SternaError."""
    from backend.database import Database
    from backend.hub.queue import Queue

    return Queue(Database.open())


@dataclass(frozen=True)
class Sources:
    """The facts the app is built on."""

    settings: Callable[[], Settings] = read_settings
    memory: Callable[[], Memory] = read_memory
    resident: Callable[[int], int] = read_resident
    processor: Callable[[], str] = read_processor
    hardware: Callable[[], Machine] = read_hardware
    measure: bool = True  # whether speeds that are not known are measured in the background
    library: Callable[[Settings, Progress | None], Listing] = read_library
    hash_loose: bool = True  # whether files without a known hash are read in the background
    card: Callable[[Path], ModelCard] = read_card
    history: Callable[[], tuple[ChatStore, list[str]]] = open_history
    catalogue: Callable[[], Catalogue] = open_catalogue
    queue: Callable[[], Queue] = open_queue
    now: Callable[[], float] = field(default=time.time)
