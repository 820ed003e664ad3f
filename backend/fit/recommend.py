"""The recommendation: which quant to take, why, and what else one might take. A pure function.

More memory never recommends a worse quant: a quant is allowed when it needs no more than its share of
the free memory; what is allowed only grows with memory, and the best of it is taken. Which is the best
does not depend on memory.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.fit.candidates import Candidate, Offer, Pace, judged
from backend.fit.model import Model
from backend.fit.needs import Runtime
from backend.fit.rules import rules
from backend.fit.shapes import typical
from backend.fit.use import Use
from backend.machine import Machine

_WORTHWHILE = 0.95  # of the memory: what saves less is no alternative


@dataclass(frozen=True, slots=True)
class Recommendation:
    """What to take (None: nothing fits), and its neighbours that fit: smaller or faster, bigger or better.

    `because` names the rule that chose it: ideal, plenty, speed, quality, role, native, last_resort, none.
    """

    chosen: Candidate | None
    because: str
    smaller: Candidate | None = None
    bigger: Candidate | None = None


def recommend(
    model: Model,
    candidates: Sequence[Candidate],
    machine: Machine,
    use: Use,
    runtime: Runtime,
    pace: Pace,
) -> Recommendation:
    """Choose among `candidates`, best quality first, as `judge` returns them."""
    usual = _without_floats(candidates)
    limit = _ideal_bytes(model, usual, machine, use, runtime, pace)
    allowed = [c for c in usual if c.fits and _allowed(c, limit, machine, use)]
    chosen = min(
        allowed, key=lambda c: (c.grade.last_resort, c.grade.rank, c.needs.total), default=None
    )
    if chosen is None:
        return Recommendation(None, "none")
    chosen = _at_hand(chosen, allowed)
    fitting = [c for c in usual if c.fits and c is not chosen]
    return Recommendation(
        chosen,
        _because(model, chosen, limit, use),
        _smaller(chosen, fitting),
        _bigger(chosen, fitting),
    )


def _at_hand(chosen: Candidate, allowed: Sequence[Candidate]) -> Candidate:
    """Return a file that is there and as good, where only one that is not saves a little memory."""
    equal = [
        c
        for c in allowed
        if c.offer.file
        and c.grade.rank == chosen.grade.rank
        and chosen.needs.total >= _WORTHWHILE * c.needs.total
    ]
    return chosen if chosen.offer.file or not equal else equal[0]


def ideal_quant(model: Model, use: Use) -> str:
    """Return the quant to take for this model and use when it fits."""
    if use.prefer == "speed":
        return rules().speed.ideal
    return rules().size_class(model.params).ideal


def _without_floats(candidates: Sequence[Candidate]) -> list[Candidate]:
    """Leave out the uncompressed files, unless there is nothing else that is any good."""
    good = [c for c in candidates if not c.grade.floating and not c.grade.last_resort]
    return [c for c in candidates if not c.grade.floating] if good else list(candidates)


def _ideal_bytes(
    model: Model,
    candidates: Sequence[Candidate],
    machine: Machine,
    use: Use,
    runtime: Runtime,
    pace: Pace,
) -> int:
    """Return what the ideal quant needs, or the smallest that is as good where it is not offered."""
    wanted = judged(model, Offer(ideal_quant(model, use)), machine, use, runtime, pace)
    offered = [c.needs.total for c in candidates if c.grade.rank <= wanted.grade.rank]
    return max(wanted.needs.total, min(offered, default=0))


def _allowed(c: Candidate, limit: int, machine: Machine, use: Use) -> bool:
    """Whether a quant may be taken: the ideal one and smaller ones always, bigger ones from plenty."""
    if c.needs.total <= limit or c.grade.native or use.prefer == "quality":
        return True
    plenty = rules().plenty
    quick = c.speed is None or c.speed.answer >= plenty.tokens_per_second
    return (
        use.prefer == "balance"
        and quick
        and c.needs.total <= plenty.share * machine.memory.available
    )


def _because(model: Model, chosen: Candidate, limit: int, use: Use) -> str:
    if chosen.grade.native:
        return "native"
    if chosen.grade.last_resort:
        return "last_resort"
    if chosen.quant == ideal_quant(model, use):
        return "speed" if use.prefer == "speed" else "ideal"
    if use.prefer == "quality":
        return "quality"
    return "plenty" if chosen.needs.total > limit else "role"


def _smaller(chosen: Candidate, others: Sequence[Candidate]) -> Candidate | None:
    """Return the best of those that are worthwhile smaller; the last resort only beside another such."""
    less = [
        c
        for c in others
        if c.needs.total < _WORTHWHILE * chosen.needs.total
        and c.grade.last_resort <= chosen.grade.last_resort
    ]
    return min(less, key=lambda c: (c.grade.rank, c.needs.total), default=None)


def _bigger(chosen: Candidate, others: Sequence[Candidate]) -> Candidate | None:
    """Return the smallest of those that are better."""
    better = [c for c in others if c.grade.rank < chosen.grade.rank]
    return min(better, key=lambda c: c.needs.total, default=None)


def largest_model(machine: Machine, use: Use, runtime: Runtime, quant: str = "Q4_K_M") -> int:
    """Return the parameters of the largest model that fits in this quant; 0 when none does.

    Two figures: models come in sizes.
    """

    def fits(params: int) -> bool:
        made = judged(typical(params), Offer(quant), machine, use, runtime, lambda _m, _c: None)
        return made.fits

    low, high = 10_000_000, 1_000_000_000_000
    if not fits(low):
        return 0
    while high > low * 1.02:
        middle = round((low * high) ** 0.5)
        low, high = (middle, high) if fits(middle) else (low, middle)
    figures: int = 10 ** (len(str(low)) - 2)
    return low // figures * figures
