"""How fast memory is read: the limit of every token that a model speaks."""

import contextlib
import json
import os
import statistics
import time
from pathlib import Path

from backend import paths
from backend.machine.cpu import physical_cores, read_cpu


def measure(threads: int, seconds: float = 1.0) -> float:
    """Return bytes per second that `threads` threads read together, the median of many passes."""
    from ext.cpu import read_bandwidth

    return statistics.median(read_bandwidth(seconds, threads))


def known() -> float | None:
    """Return the bandwidth measured earlier on this processor, or None."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        kept = json.loads(_file().read_text())
        if kept["cpu"] == read_cpu().name and kept["threads"] == physical_cores():
            return float(kept["bytes_per_second"])
    return None


def measured(seconds: float = 1.0) -> float:
    """Measure with all physical cores and keep the result."""
    rate = measure(physical_cores(), seconds)
    record = {
        "cpu": read_cpu().name,
        "threads": physical_cores(),
        "bytes_per_second": rate,
        "at": time.time(),
    }
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        fresh = _file().with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(record))
        fresh.replace(_file())
    return rate


def _file() -> Path:
    return paths.cache_dir() / "bandwidth.json"
