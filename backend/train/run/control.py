"""What a person asks of a process that trains: pause, go on, stop. A file, read at every step."""

import contextlib
import os
from enum import Enum
from pathlib import Path

from backend.train.run.folder import RunFolder


class Wish(Enum):
    """What is asked."""

    GO = "go"
    PAUSE = "pause"
    STOP = "stop"


def ask(folder: RunFolder, wish: Wish) -> None:
    """Ask it. Raises OSError."""
    fresh = folder.control.with_name(f".control.{os.getpid()}")
    fresh.write_text(wish.value, encoding="ascii")
    fresh.replace(folder.control)


def asked(folder: RunFolder) -> Wish:
    """Return what is asked now."""
    try:
        return Wish(folder.control.read_text(encoding="ascii").strip())
    except (OSError, ValueError):
        return Wish.GO


def forget(path: Path) -> None:
    """Take back what was asked of an earlier process."""
    with contextlib.suppress(OSError):
        path.unlink()
