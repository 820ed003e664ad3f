"""What is asked about when somebody asks what fits: a file, a repository of the Hub, a bare size.

The command line and the app ask the same way.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from backend import advice
from backend.advice import Advice
from backend.errors import SternaError
from backend.fit import Candidate, Model, Offer, read_model, typical
from backend.gguf import describe, open_gguf, require_model
from backend.units import human_bytes, human_count


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked about. `offers` can be had; `others` are the usual quants beside them."""

    name: str
    model: Model
    offers: list[Offer]
    others: list[Offer]


def of_params(count: int) -> Asked:
    """Ask about a usual model of so many parameters; raises SternaError."""
    model = typical(count)
    return Asked(f"a model of {human_count(count)} parameters", model, advice.ladder(model), [])


def of_file(path: Path) -> Asked:
    """Ask about a file on disk; raises SternaError."""
    with open_gguf(path) as file:
        require_model(file)
        card = describe(file)
        model = read_model(file)
        own = Offer(card.quant, None, str(file.path))
        others = [offer for offer in advice.ladder(model) if offer.quant != card.quant]
    return Asked(card.name, model, [own], others)


def of_hub(text: str) -> Asked:
    """Ask the Hub for the repository; a quant that is named narrows what is offered."""
    from backend import remote_advice
    from backend.hub import reference
    from backend.hub.client import HubClient
    from backend.hub.repository import read_repository
    from backend.hub.variants import choose

    meant = reference.parse(text)
    found = read_repository(HubClient(), meant.repo, meant.revision)
    variants = remote_advice.usable(found)
    if meant.choice:
        variants = [choose(found.variants, meant.choice, found.repo)]
    model = remote_advice.read(found)
    others = [] if variants else advice.ladder(model)
    return Asked(found.repo, model, remote_advice.offers(variants), others)


def parsed(parse: Callable[[str], int], text: str) -> int:
    """Return what a person's figure means; raises SternaError."""
    try:
        return parse(text)
    except ValueError as error:
        raise SternaError("bad_argument", f"{str(error)[:1].upper()}{str(error)[1:]}.") from None


def better_elsewhere(told: Advice, beside: Advice) -> list[str]:
    """Say when another quant of the same model would be the better choice here."""
    own, other = told.recommendation.chosen, beside.recommendation.chosen
    if other is None or (own is not None and own.grade.rank <= other.grade.rank):
        return []
    said = f"would need {human_bytes(other.needs.total)}, and its loss is {other.grade.loss}"
    if not told.candidates:
        return [f"There is no GGUF of it here; {other.quant} of a model of this size {said}."]
    return [f"This is not the best for this machine: {other.quant} of the same model {said}."]


def by_quality(candidates: list[Candidate]) -> list[Candidate]:
    """Return candidates best first, of equal ones the smaller."""
    return sorted(candidates, key=lambda c: (c.grade.rank, c.needs.total))
