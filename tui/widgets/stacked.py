"""A bar of several parts of one whole. Each has a glyph of its own: colour only repeats it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from textual.content import Content


@dataclass(frozen=True, slots=True)
class Part:
    """A share of the whole: its amount, the glyph that fills its cells, a style that repeats it."""

    amount: int
    glyph: str
    style: str = ""


WEIGHTS, KV_USED, KV_ROOM, REST, OTHERS, FREE = "█", "▓", "▒", "▚", "░", "·"


def widths(amounts: Sequence[int], cells: int) -> list[int]:
    """Return how many of `cells` each amount takes: in proportion, and none that is there vanishes."""
    total = sum(amounts)
    if total <= 0 or cells <= 0:
        return [0] * len(amounts)
    exact = [amount * cells / total for amount in amounts]
    shown = [
        max(1, int(share)) if amount > 0 else 0
        for share, amount in zip(exact, amounts, strict=True)
    ]
    while sum(shown) != cells:
        short = sum(shown) < cells
        gaps = [
            (share - now) if short else (now - share)
            for share, now in zip(exact, shown, strict=True)
        ]
        able = [i for i, now in enumerate(shown) if now > (0 if short else 1)]
        if not able:
            break
        at = max(able, key=lambda i: gaps[i])
        shown[at] += 1 if short else -1
    return shown


def bar(parts: Sequence[Part], cells: int) -> Content:
    """Return the bar."""
    taken = widths([max(0, part.amount) for part in parts], cells)
    pieces = [(part.glyph * count, part.style) for part, count in zip(parts, taken, strict=True)]
    return Content.assemble(*[piece for piece in pieces if piece[0]])
