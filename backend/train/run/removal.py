"""Deleting runs with an undo: the folder gets a hidden name beside the others, until the next is deleted."""

import contextlib
import shutil
from pathlib import Path

from backend import paths
from backend.errors import SternaError
from backend.train.run.folder import RunFolder

_HIDDEN = ".deleted-"


def remove(folder: RunFolder) -> Path:
    """Delete a run; return what `restore` takes. What was deleted before is gone then.

    Raises SternaError `run_is_running`, `unwritable`.
    """
    if folder.is_running():
        raise SternaError("run_is_running", f"The run {folder.name} is running.", "Stop it first.")
    purge(folder.path.parent)
    hidden = folder.path.with_name(f"{_HIDDEN}{folder.name}")
    try:
        return folder.path.rename(hidden)
    except OSError as error:
        raise SternaError(
            "unwritable", f"{folder.path} cannot be removed: {error.strerror}.", "Check the disk."
        ) from error


def restore(hidden: Path) -> RunFolder:
    """Bring a run back. Raises SternaError `not_found`."""
    place = hidden.with_name(hidden.name.removeprefix(_HIDDEN))
    try:
        if place.exists():
            raise FileExistsError(17, "there is another run of that name")
        return RunFolder(hidden.rename(place))
    except OSError as error:
        raise SternaError(
            "not_found", f"{place.name} cannot be brought back: {error.strerror}.", ""
        ) from error


def purge(runs: Path | None = None) -> None:
    """Give back the room of what was deleted."""
    with contextlib.suppress(OSError):
        for path in (runs or paths.runs_dir()).glob(f"{_HIDDEN}*"):
            shutil.rmtree(path, ignore_errors=True)
