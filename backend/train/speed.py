"""How fast this machine trains: from runs that it did, or else from a product of matrices it does now."""

import contextlib
import json
import os
import time
from pathlib import Path

import numpy as np

from backend import paths

_SIDE, _SECONDS = 1024, 0.3
_SHARE = 0.6  # of the speed of plain products that training reached where it was measured
_CARD = 30e12  # of a graphics card that has trained nothing yet: a middling one
_KEPT = 20


def _file() -> Path:
    return paths.cache_dir() / "training-speed.json"


def _read() -> dict[str, list[float]]:
    with contextlib.suppress(OSError, ValueError):
        data = json.loads(_file().read_text())
        if isinstance(data, dict):
            return {
                key: [float(v) for v in values if isinstance(v, int | float) and v > 0]
                for key, values in data.items()
                if isinstance(values, list)
            }
    return {}


def _write(data: dict[str, list[float]]) -> None:
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        fresh = _file().with_suffix(f".{os.getpid()}.tmp")
        fresh.write_text(json.dumps(data))
        fresh.replace(_file())


def of_processor(threads: int) -> float:
    """Return floating-point operations a second in training on so many threads."""
    known = _read()
    runs = known.get(f"runs-{threads}") or []
    if runs:
        return sorted(runs)[len(runs) // 2]
    products = known.get("products")
    if not products:
        products = [_measure()]
        _write({**known, "products": products})
    return products[0] * _SHARE


def of_card(name: str) -> float:
    """Return the same of a graphics card."""
    runs = _read().get(f"runs-{name}") or [_CARD]
    return sorted(runs)[len(runs) // 2]


def remember(runner: int | str, rate: float) -> None:
    """Keep what a run reached, on so many threads or on a card of that name."""
    known = _read()
    runs = [*(known.get(f"runs-{runner}") or []), rate][-_KEPT:]
    _write({**known, f"runs-{runner}": runs})


def _measure() -> float:
    """Return the speed of float32 products on all cores that are free now."""
    a = np.ones((_SIDE, _SIDE), np.float32)
    a @ a
    count, start = 0, time.perf_counter()
    while time.perf_counter() - start < _SECONDS:
        a @ a
        count += 1
    return 2 * _SIDE**3 * count / (time.perf_counter() - start)
