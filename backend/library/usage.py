"""When Sterna last used a model."""

import contextlib
import json
import os
import time
from pathlib import Path

from backend import paths


def _file() -> Path:
    return paths.data_dir() / "last_used.json"


def last_used() -> dict[str, float]:
    """Return the time of last use by real path."""
    with contextlib.suppress(OSError, ValueError):
        data = json.loads(_file().read_text())
        if isinstance(data, dict):
            return {k: float(v) for k, v in data.items() if isinstance(v, int | float)}
    return {}


def mark_used(path: str | os.PathLike[str]) -> None:
    """Note that a model was used now; failing to is no reason to stop."""
    with contextlib.suppress(OSError):
        times = last_used() | {os.path.realpath(path): time.time()}
        newest = dict(sorted(times.items(), key=lambda item: item[1])[-1000:])
        _file().parent.mkdir(parents=True, exist_ok=True)
        fresh = _file().with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(newest))
        fresh.replace(_file())
