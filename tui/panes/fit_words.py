"""What a model needs here, in words: a cell of a list, the lines of the side pane."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from textual.content import Content

from backend.units import human_bytes, human_rate
from tui import words
from tui.widgets import stacked
from tui.widgets.stacked import Part

if TYPE_CHECKING:
    from backend.fit import Candidate, Speed
    from tui.verdicts import Verdict

TONES = {"fits": "$text-success", "tight": "$text-warning", "too_big": "$text-error"}
WAITING = "…"


def cell(known: Verdict | None) -> str:
    """Return a verdict in eleven cells: a glyph, a word, a number."""
    if known is None:
        return ""
    c = known.candidate
    if c is None or known.why_not:
        return "– not run"
    if c.verdict.kind == "too_big":
        return f"✗ {words.compact_bytes(c.over)} over"
    word = "fits" if c.verdict.kind == "fits" else "tight"
    return f"{c.verdict.glyph} {word} {short_tokens(c.max_context)}"


def short_tokens(count: int) -> str:
    """Return a context as `24k`, never more than it is."""
    from backend.fit import tokens

    return tokens(count)


def line(known: Verdict) -> Content:
    """Return the verdict with the speed, in one line."""
    c = known.candidate
    if c is None or known.why_not:
        return Content.styled("– not run by Sterna's engine", "$text-muted")
    said = Content.styled(f"{c.verdict.glyph} {c.verdict.text}", TONES[c.verdict.kind])
    return Content("   ").join([said, Content(speed(c.speed))]) if c.speed else said


def speed(s: Speed) -> str:
    """Return the speed of answers, with its error where it is a prediction."""
    if s.measured:
        return f"{human_rate(s.answer)} tok/s (measured)"
    return f"~{human_rate(s.answer)} tok/s (±{human_rate(s.answer * s.band)})"


def memory(c: Candidate, free: int, cells: int) -> list[Content]:
    """Return a bar of what it would take of what is free, and the bar in numbers."""
    n = c.needs
    held = n.weights - n.on_disk
    left = free - n.total
    parts = [
        Part(held, stacked.WEIGHTS, "$primary"),
        Part(n.kv, stacked.KV_USED, "$accent"),
        Part(n.compute, stacked.REST, "$foreground 60%"),
        Part(max(0, left), stacked.FREE, "$foreground 40%"),
    ]
    numbers = [
        f"{stacked.WEIGHTS} {human_bytes(held)} weights",
        f"{stacked.KV_USED} {human_bytes(n.kv)} KV",
        f"{stacked.REST} {human_bytes(n.compute)} rest",
        f"{human_bytes(left)} left" if left >= 0 else f"{human_bytes(-left)} too much",
    ]
    return [stacked.bar(parts, cells), *(Content(row) for row in wrapped(numbers, cells))]


def wrapped(parts: list[str], width: int) -> list[str]:
    """Join parts by dots into lines of at most `width` cells; no part is torn."""
    rows: list[str] = []
    for part in parts:
        if rows and len(rows[-1]) + 3 + len(part) <= width:
            rows[-1] += f" · {part}"
        else:
            rows.append(part)
    return rows


def lines(known: Verdict | None, width: int) -> list[Content]:
    """Return what the side pane says about a model on this machine."""
    if known is None:
        return [Content.styled(f"reckoning whether it fits {WAITING}", "$text-muted"), Content()]
    told, said = [line(known)], known.why_not
    if said and known.candidate is not None:
        said += f" By llama.cpp's figures it {known.candidate.verdict.text}."
    told += [Content(row) for row in textwrap.wrap(said, max(width, 20))]
    if known.candidate is None:
        return [*told, Content()]
    return [*told, *memory(known.candidate, known.free, width), at(known.candidate), Content()]


def at(c: Candidate) -> Content:
    """Say for what context that is."""
    return Content.styled(f"at a context of {c.context:,} · e  every quant", "$text-muted")
