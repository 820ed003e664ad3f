"""Curves in Braille dots: each cell is two dots wide and four high."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from textual.content import Content

_BLANK = 0x2800
_DOTS = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))  # by row and column of a cell
_AXIS = 7  # cells of the numbers on the left
_STYLES = ("$text-primary", "$text-accent", "$text-success", "$text-warning", "$text-error", "bold")
MARKS = "●◆▲■★✚"

Points = Sequence[tuple[float, float]]


@dataclass(frozen=True, slots=True)
class Curve:
    """Points (x, y) with x rising. `dots`: each point gets a mark of its own, and no line."""

    name: str
    points: Points
    dots: bool = False


def curve_lines(points: Points, width: int, height: int, right: float = 0) -> list[str]:
    """Return one curve as `height` lines of `width` cells, over its own range or up to x = `right`.

    [] without points.
    """
    span = _Span.of([Curve("", points)], right)
    if span is None:
        return []
    grid = _Grid(width, height)
    grid.draw(points, span)
    return ["".join(chr(_BLANK | bits) for bits in row) for row in grid.bits]


def plot(curves: Sequence[Curve], width: int, height: int, right: float = 0) -> Content:
    """Return curves over common axes, up to x = `right` or the last point: values on the left, steps
    below, a legend above.

    Curves are told apart by the mark at their end as well as by colour. Without any point the result
    is empty.
    """
    span = _Span.of(curves, right)
    cells, rows = width - _AXIS - 1, height - 3
    if span is None or cells < 8 or rows < 3:
        return Content()
    owners: list[list[int | None]] = [[None] * cells for _ in range(rows)]
    signs = [[" "] * cells for _ in range(rows)]
    for place, curve in enumerate(curves):
        _paint(curve, place, span, owners, signs)
    lines = [_legend(curves)]
    for number, (row, owner) in enumerate(zip(signs, owners, strict=True)):
        value = span.top - (span.top - span.bottom) * number / (rows - 1)
        label = f"{value:.3g}" if number % 4 == 0 or number == rows - 1 else ""
        axis = f"{label:>{_AXIS}}┤" if label else " " * _AXIS + "│"
        lines.append(Content.assemble((axis, "$foreground 60%"), *_runs(row, owner)))
    lines.append(Content.styled(" " * _AXIS + "└" + "─" * cells, "$foreground 60%"))
    last = f"{span.right:g}"
    middle = "step".center(max(1, cells - len(last) - len(f"{span.left:g}")))
    lines.append(
        Content.styled(f"{' ' * (_AXIS + 1)}{span.left:g}{middle}{last}", "$foreground 60%")
    )
    return Content("\n").join(lines)


def _runs(row: list[str], owner: list[int | None]) -> Iterator[tuple[str, str]]:
    """Yield a row in pieces of one style."""
    for whose, cells in groupby(zip(row, owner, strict=True), key=itemgetter(1)):
        style = "" if whose is None else _STYLES[whose % len(_STYLES)]
        yield "".join(sign for sign, _ in cells), style


def smoothed(points: Points, over: int = 20) -> list[tuple[float, float]]:
    """Return an exponential mean, started without bias towards nought (as Adam's moments are)."""
    keep = 1 - 1 / max(1, min(over, len(points) // 5))
    mean, made = 0.0, []
    for number, (x, y) in enumerate(points, 1):
        mean = keep * mean + (1 - keep) * y
        made.append((x, mean / (1 - keep**number)))
    return made


@dataclass(frozen=True, slots=True)
class _Span:
    left: float
    right: float
    bottom: float
    top: float

    @classmethod
    def of(cls, curves: Sequence[Curve], right: float) -> _Span | None:
        points = [p for curve in curves for p in curve.points if math.isfinite(p[1])]
        if not points:
            return None
        xs, ys = [x for x, _ in points], [y for _, y in points]
        bottom, top = min(ys), max(ys)
        if top - bottom < 1e-9:
            bottom, top = bottom - 0.5, top + 0.5
        left, right = min(xs), max(*xs, right)
        return cls(left, right if right > left else left + 1, bottom, top)

    def place(self, x: float, y: float, columns: int, rows: int) -> tuple[int, int]:
        """Return (row, column) of a point on a grid."""
        column = round((x - self.left) / (self.right - self.left) * (columns - 1))
        row = round((self.top - y) / (self.top - self.bottom) * (rows - 1))
        return row, column


class _Grid:
    """Cells of dots."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.bits = [[0] * width for _ in range(height)]

    def draw(self, points: Points, span: _Span) -> None:
        """Draw a line through points; those that are no numbers break it."""
        before: tuple[int, int] | None = None
        for x, y in points:
            if not math.isfinite(y):
                before = None
                continue
            here = span.place(x, y, 2 * self.width, 4 * self.height)
            self._line(before or here, here)
            before = here

    def _line(self, start: tuple[int, int], end: tuple[int, int]) -> None:
        steps = max(abs(end[0] - start[0]), abs(end[1] - start[1]), 1)
        for i in range(steps + 1):
            row = start[0] + round((end[0] - start[0]) * i / steps)
            column = start[1] + round((end[1] - start[1]) * i / steps)
            self.bits[row // 4][column // 2] |= _DOTS[row % 4][column % 2]


def _paint(
    curve: Curve, place: int, span: _Span, owners: list[list[int | None]], signs: list[list[str]]
) -> None:
    rows, cells = len(signs), len(signs[0])
    mark = MARKS[place % len(MARKS)]
    points = [p for p in curve.points if math.isfinite(p[1])]
    if not curve.dots:
        grid = _Grid(cells, rows)
        grid.draw(curve.points, span)
        for down, line in enumerate(grid.bits):
            for right, bits in enumerate(line):
                if bits:
                    signs[down][right], owners[down][right] = chr(_BLANK | bits), place
    for x, y in points if curve.dots else points[-1:]:
        row, column = span.place(x, y, cells, rows)
        signs[row][column], owners[row][column] = mark, place


def _legend(curves: Sequence[Curve]) -> Content:
    parts = [
        Content.styled(f"{MARKS[i % len(MARKS)]} {c.name}", _STYLES[i % len(_STYLES)])
        for i, c in enumerate(curves)
        if c.points
    ]
    return Content(" " * (_AXIS + 1)) + Content("   ").join(parts)
