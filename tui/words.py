"""Numbers, times and outside text as they stand on a screen."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING

from rich.cells import cell_len

from backend.text import clean
from backend.units import ago as ago

if TYPE_CHECKING:
    from backend.errors import SternaError

UNKNOWN = "–"


def tokens(count: int) -> str:
    """Return a number of tokens as e.g. `840`, `2.1k` or `32k` (k = 1,024, as contexts are cut)."""
    if count < 1000:
        return str(count)
    value = f"{count / 1024:.1f}"
    return f"{value.removesuffix('.0')}k" if count < 100 * 1024 else f"{round(count / 1024)}k"


def gigabytes(count: int) -> str:
    """Return bytes in decimal gigabytes with one digit and no unit."""
    return f"{count / 1e9:.1f}"


def compact_bytes(count: int) -> str:
    """Return bytes as e.g. `2.5G`, for a narrow column."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit * 0.9995:
            return f"{count / limit:.1f}{unit}"
    return str(count)


def two_figures(count: int) -> str:
    """Return bytes as e.g. `2.5G`, `16G` or `960M`, for the narrowest columns."""
    for limit, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if count >= limit * 0.9995:
            value = count / limit
            return f"{value:.1f}{unit}" if value < 9.95 else f"{value:.0f}{unit}"
    return str(count)


def rate(value: float) -> str:
    """Return a rate with one digit below a hundred and none above."""
    return f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def seconds(value: float) -> str:
    """Return a time as e.g. `35 ms` or `1.4 s`."""
    return f"{value * 1000:.0f} ms" if value < 1 else f"{value:.1f} s"


def cut(text: str, width: int) -> str:
    """Return cleaned `text` in at most `width` cells, cut in the middle: both ends tell."""
    text = clean(text)
    if cell_len(text) <= width:
        return text
    if width < 2:
        return "…"[:width]
    head, tail = width // 2, (width - 1) // 2
    while cell_len(text[:head]) > width // 2:
        head -= 1
    while tail and cell_len(text[-tail:]) > (width - 1) // 2:
        tail -= 1
    return f"{text[:head]}…{text[len(text) - tail :]}"


def short_path(path: Path) -> str:
    """Return a path with the home folder as `~`."""
    with contextlib.suppress(ValueError, RuntimeError):
        return clean(str(Path("~") / path.relative_to(Path.home())))
    return clean(str(path))


def short_text(path: str) -> str:
    """Return a path, given as text, with the home folder as `~`."""
    return short_path(Path(path))


def fact_and_hint(error: SternaError) -> tuple[str, str]:
    """Return an error's message and hint, fit for a screen."""
    return clean(error.message), clean(error.hint)
