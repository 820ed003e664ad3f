"""Quant by context: what each cell needs and whether it fits."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from backend.fit.candidates import Candidate, Offer, Pace, judge
from backend.fit.model import Model
from backend.fit.needs import Runtime
from backend.fit.use import Use
from backend.machine import Machine

CONTEXTS = (2048, 4096, 8192, 16384, 32768, 65536, 131072)


@dataclass(frozen=True, slots=True)
class Grid:
    """`rows[r][c]` is the candidate of quant r at `contexts[c]`, best quality first."""

    contexts: tuple[int, ...]
    rows: tuple[tuple[Candidate, ...], ...]


def contexts(model: Model, most: int = len(CONTEXTS)) -> tuple[int, ...]:
    """Return the contexts of the columns: powers of two up to what the model was made for."""
    fitting = [c for c in CONTEXTS if c < model.context]
    return (*fitting, model.context)[:most] if len(fitting) < most else tuple(fitting[:most])


def grid(
    model: Model,
    offers: Sequence[Offer],
    machine: Machine,
    use: Use,
    columns: Sequence[int],
    runtime: Runtime,
    pace: Pace,
) -> Grid:
    """Return the grid."""
    by_context = [
        judge(model, offers, machine, replace(use, context=context), runtime, pace)
        for context in columns
    ]
    order = [c.offer for c in by_context[0]] if by_context else []
    places = [{c.offer: c for c in column} for column in by_context]
    return Grid(tuple(columns), tuple(tuple(p[offer] for p in places) for offer in order))
