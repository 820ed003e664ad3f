"""The rows of the Hub's table in words: models, and under an open one its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size

from backend.text import clean
from backend.units import human_bytes, human_count, human_rate
from tui import queue_words, words

if TYPE_CHECKING:
    from backend.fit import Candidate
    from backend.hub.queue import Item
    from backend.hub.search import FoundModel
    from backend.hub.variants import Variant
    from tui.browsing import Opened
    from tui.roughly import Rough

NAME_AT_LEAST = 32
KINDS = {
    "mmproj": "reads images for it; Sterna does not yet",
    "adapter": "an adapter: it goes beside its base",
    "checkpoint": "for training, and for `sterna convert`",
}


@dataclass(frozen=True, slots=True)
class Column:
    """A column; rank 0 is always there, the higher the rank, the more room it waits for."""

    key: str
    title: str
    width: int
    rank: int
    number: bool = False


COLUMNS = (
    Column("name", "MODEL", 0, 0),
    Column("downloads", "↓ 30 D", 6, 0, number=True),
    Column("likes", "♥", 5, 2, number=True),
    Column("params", "PARAMS", 6, 0, number=True),
    Column("updated", "NEW", 6, 3, number=True),
    Column("license", "LICENCE", 11, 1),
    Column("here", "HERE", 12, 0),
)


@dataclass(frozen=True, slots=True)
class Row:
    """A model (`variant` is None), one of its files, or a remark under it (`note`)."""

    model: FoundModel
    opened: Opened | None = None
    variant: Variant | None = None
    note: str = ""

    @property
    def key(self) -> tuple[str, str, str]:
        """What stays the same when the rows are made anew."""
        return self.model.repo, self.variant.name if self.variant else "", self.note


def fitting(width: int, sort: str) -> tuple[list[Column], int]:
    """Return the columns for a table `width` cells wide, and the width of the name.

    What it is sorted by is always shown: it changes places with the downloads where there is no room for both.
    """
    measure = sort if sort in ("likes", "updated") else "downloads"
    ranks = {column.key: column.rank for column in COLUMNS}
    ranks |= {"downloads": ranks[measure], measure: 0}
    for most in (3, 2, 1, 0):
        columns = [column for column in COLUMNS if ranks[column.key] <= most]
        left = width - sum(column.width + 2 for column in columns)
        if left >= NAME_AT_LEAST:
            break
    return columns, max(left, 12)


def cell(
    column: Column, model: FoundModel, opened: Opened | None, rough: Rough | None, now: float
) -> str:
    """Return what a column says of a model; a dash where nothing is known."""
    if column.key == "here":
        return here(model, opened, rough)
    if column.key == "downloads":
        return words.UNKNOWN if model.downloads is None else compact(model.downloads)
    if column.key == "likes":
        return words.UNKNOWN if model.likes is None else compact(model.likes)
    if column.key == "params":
        return human_count(model.params).replace(" ", "") if model.params else words.UNKNOWN
    if column.key == "updated":
        return words.UNKNOWN if model.updated is None else words.ago(model.updated, now)
    if column.key == "license":
        return clean(model.license) or words.UNKNOWN
    return clean(model.repo)


def compact(count: int) -> str:
    """Return a count as e.g. `840`, `12k`, `1.2M`."""
    for limit, unit in ((1e6, "M"), (1e3, "k")):
        if count >= limit:
            value = count / limit
            return f"{value:.1f}{unit}" if value < 10 else f"{value:.0f}{unit}"
    return str(count)


def here(model: FoundModel, opened: Opened | None, rough: Rough | None) -> str:
    """Return the verdict: exact for a model that was looked into, else by its parameters."""
    if opened is not None and opened.advice is not None:
        chosen = opened.advice.recommendation.chosen
        return f"{chosen.verdict.glyph} {chosen.quant}" if chosen else "✗ too big"
    if model.params is None or rough is None:
        return words.UNKNOWN
    return rough.text(model.params, model.arch)


def file_line(row: Row, item: Item | None, on_disk: bool, width: int) -> str:
    """Return the line of a file under its model; what tells less goes first when it is tight."""
    variant, opened = row.variant, row.opened
    assert variant is not None
    assert opened is not None
    candidate = opened.candidate(variant)
    size = human_bytes(variant.bytes) if variant.bytes is not None else "size ?"
    named = variant.quant if variant.kind in ("model", "checkpoint") else variant.kind
    glyph = candidate.verdict.glyph if candidate else " "
    head = f"   {glyph} {clean(named) or '?':<11} {size:>8}"
    parts: list[str] = []
    if candidate is not None:
        parts = [f"{candidate.verdict.text:<13}", f"{speed(candidate):<9}"]
    elif variant.kind in KINDS:
        parts = [KINDS[variant.kind]]
    if variant.missing:
        parts = [f"{variant.missing} of its parts are missing"]
    state = _state(item, on_disk=on_disk)
    best = variant.files[0].path == opened.recommended
    tail = [part for part in ("← recommended" if best else "", state) if part]
    loss = f"loss {candidate.grade.loss}" if candidate else _parts(variant)
    short = [part.replace("← recommended", "← best") for part in tail]
    tries = (
        [*parts, f"{loss:<24}", *tail],
        [*parts, *tail],
        [*parts, *short],
        [*(part.strip() for part in parts), *short],
        [*(part.strip() for part in parts[:1]), *short],
    )
    for said in tries:
        line = "  ".join([head, *said]).rstrip()
        if cell_len(line) <= width:
            return line
    return set_cell_size(line, width)


def speed(candidate: Candidate) -> str:
    """Return the speed of answers, `~` before what is predicted; empty where it is not known."""
    if candidate.speed is None:
        return ""
    sign = "" if candidate.speed.measured else "~"
    return f"{sign}{human_rate(candidate.speed.answer)} t/s"


def _parts(variant: Variant) -> str:
    return f"{len(variant.files)} files" if len(variant.files) > 1 else ""


def _state(item: Item | None, *, on_disk: bool) -> str:
    if on_disk or (item is not None and item.state == "done"):
        return "✓ on disk"
    if item is None or item.state == "cancelled":
        return ""
    if item.state in ("failed", "paused"):
        return f"{queue_words.GLYPHS[item.state]} {item.state}"
    return f"↓ {queue_words.percent(item.done, item.bytes)} %"
