"""Room on disk for models."""

import shutil
from pathlib import Path

from backend import paths


def disk_free(folder: Path | None = None) -> int | None:
    """Return the free bytes where `folder` (Sterna's models) is or will be, None when unknown."""
    folder = folder or paths.models_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None
