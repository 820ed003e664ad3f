"""What a model of the Hub needs, by its number of parameters alone: all that a list of them tells."""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.words import two_figures

if TYPE_CHECKING:
    from backend.machine import Machine

QUANT, _TERNARY = "Q4_K_M", "TQ2_0"  # which most repositories offer; of models that were trained so
_BITNETS = ("bitnet", "bitnet-b1.58", "bitnet-25")
_SIZES = (135e6, 600e6, 1.24e9, 4e9, 8e9, 14.8e9, 32.8e9, 70.6e9, 123e9, 405e9, 1.5e12)


@dataclass(frozen=True, slots=True)
class Rough:
    """Bytes that usual models of ascending sizes need at the usual context, and how many are free."""

    usual: tuple[tuple[float, float], ...]
    ternary: tuple[tuple[float, float], ...]
    free: int

    def needs(self, params: int, arch: str = "") -> int:
        """Return about how many bytes a model of so many parameters needs."""
        points = self.ternary if arch in _BITNETS else self.usual
        place = min(max(bisect_left(points, (params, 0.0)), 1), len(points) - 1)
        (low, least), (high, most) = points[place - 1], points[place]
        if params <= low:
            return round(least)
        share = min(math.log(params / low) / math.log(high / low), 1.5)
        return round(least * math.exp(share * math.log(most / least)))

    def kind(self, params: int, arch: str = "") -> str:
        """Return how good that is: fits, tight or too_big."""
        from backend.fit.candidates import verdict

        return verdict(self.needs(params, arch), 0, self.free).kind

    def text(self, params: int, arch: str = "") -> str:
        """Return it in twelve cells: a glyph, a word, a number."""
        glyph = {"fits": "✓", "tight": "≈", "too_big": "✗"}[self.kind(params, arch)]
        return f"{glyph} about {two_figures(self.needs(params, arch))}"


def measure(machine: Machine) -> Rough:
    """Reckon the sizes for a machine; takes the processor a moment."""
    from backend import advice, fit

    def points(quant: str) -> tuple[tuple[float, float], ...]:
        return tuple((n, needs(fit.typical(round(n)), quant)) for n in _SIZES)

    def needs(model: fit.Model, quant: str) -> float:
        return advice.judged(model, fit.Offer(quant), machine, fit.Use()).needs.total

    return Rough(points(QUANT), points(_TERNARY), machine.memory.available)
