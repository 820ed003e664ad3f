"""What base and data were when a run began, so that it is never resumed upon something else."""

import contextlib
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import SternaError
from backend.train.run.checkpoints import file_hash
from backend.train.run.folder import RunFolder


@dataclass(frozen=True, slots=True)
class Pinned:
    """A set of files: the size, time of change and SHA-256 of each by path."""

    files: dict[str, dict[str, Any]]

    @classmethod
    def of(cls, paths: list[Path]) -> "Pinned":
        """Hash files. Raises OSError."""
        files = {}
        for path in paths:
            status = path.stat()
            files[str(path)] = {
                "size": status.st_size,
                "modified": status.st_mtime_ns,
                "sha256": file_hash(path),
            }
        return cls(files)

    def changed(self) -> str | None:
        """Return the first file that is no more what it was; one with the same time is believed."""
        for name, said in self.files.items():
            path = Path(name)
            try:
                status = path.stat()
                same = (status.st_size, status.st_mtime_ns) == (said["size"], said["modified"])
                if not same and file_hash(path) != said["sha256"]:
                    return name
            except OSError:
                return name
        return None


def write(folder: RunFolder, base: Pinned, data: Pinned, more: dict[str, Any]) -> None:
    """Keep what base and data are. Raises OSError."""
    fresh = folder.pins.with_name(f".pins.{os.getpid()}")
    try:
        with fresh.open("w", encoding="utf-8") as file:
            json.dump({"base": base.files, "data": data.files, **more}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(folder.pins)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


def check(folder: RunFolder) -> dict[str, Any] | None:
    """Return what was pinned, None in a new run. Raises SternaError `base_changed`, `data_changed`.

    Data that is gone is no hindrance: the run keeps it as tokens.
    """
    try:
        pins = json.loads(folder.pins.read_text(encoding="utf-8"))
        base, data = Pinned(pins["base"]), Pinned(pins["data"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SternaError(
            "corrupt", f"{folder.pins} cannot be read.", "Begin a new run with this recipe."
        ) from error
    if (name := base.changed()) is not None:
        raise SternaError(
            "base_changed",
            f"{name} is not the base that this run began with.",
            "Put the old file back, or begin a new run.",
        )
    name = data.changed()
    if name is not None and Path(name).exists():
        raise SternaError(
            "data_changed",
            f"{name} is not the data that this run began with.",
            "Put the old file back, or begin a new run.",
        )
    known: dict[str, Any] = pins
    return known
