"""What the fit grid shows, reckoned in a thread: advice on every quant, on this machine or a supposed one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from backend.advice import Advice
    from backend.fit import Candidate, Grid, Use
    from backend.machine import Machine
    from tui.fitting import Asked

KV_TYPES = ("auto", "f16", "q8_0", "f32")  # those of Sterna's engine
OTHER_KV_TYPES = ("f16", "q8_0", "q4_0")  # of the runtimes that are told for models it does not run


@dataclass(frozen=True, slots=True)
class Reckoned:
    """Advice over every quant in the grid, the usual ones that are not to be had among them.

    `types` are tensor types whose speed nobody has measured here yet.
    """

    asked: Asked
    use: Use
    machine: Machine
    advice: Advice
    grid: Grid
    types: tuple[str, ...]

    @property
    def chosen(self) -> Candidate | None:
        """What to take."""
        return self.advice.recommendation.chosen

    @property
    def own(self) -> Candidate | None:
        """The one file that is asked about, None where there are several to choose from."""
        if len(self.asked.offers) != 1:
            return None
        quant = self.asked.offers[0].quant
        return next((c for c in self.advice.candidates if c.quant == quant), None)

    @property
    def here(self) -> frozenset[str]:
        """The quants that are here, where there are others beside them."""
        offers = self.asked.offers if self.asked.others else ()
        return frozenset(offer.quant for offer in offers)

    @property
    def kv_types(self) -> tuple[str, ...]:
        """The types of cache that one can ask for."""
        return KV_TYPES if self.advice.runs else OTHER_KV_TYPES


def reckon(asked: Asked, machine: Machine, use: Use, columns: int) -> Reckoned:
    """Return everything about the quants that are offered and the usual ones beside them."""
    from backend import advice, fit

    offers = [*asked.offers, *asked.others]
    told = advice.advise(asked.model, offers, machine, use)
    contexts = fit.contexts(asked.model, columns)
    made = advice.grid(asked.model, offers, machine, use, contexts)
    types: set[str] = set()
    for row in made.rows if told.runs else ():
        if row[0].speed is None:
            types |= fit.weights_per_token(fit.as_offered(asked.model, row[0].offer)[0]).keys()
    return Reckoned(asked, use, machine, told, made, tuple(sorted(types)))
