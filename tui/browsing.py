"""What the Hub screen asks for, in threads: nothing here touches a widget.

Each function imports what it needs when it is called: the first screen paints without the Hub.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from backend.errors import SternaError

if TYPE_CHECKING:
    from backend.advice import Advice
    from backend.fit import Candidate
    from backend.hub.catalogue import Catalogue
    from backend.hub.order import Order
    from backend.hub.reference import Reference
    from backend.hub.repository import Repository
    from backend.hub.search import FoundModel
    from backend.hub.variants import Variant
    from backend.machine import Machine

GATED = ("gated_no_token", "gated_licence")


@dataclass(frozen=True, slots=True)
class Opened:
    """A repository that was looked into. `advice` is None while it is worked out, or where `error`
    says why there is none; `estimated`: told by the number of parameters, as the header is closed.
    """

    found: Repository
    advice: Advice | None = None
    error: SternaError | None = None
    estimated: bool = False
    by_file: dict[str, Candidate] = field(default_factory=dict)
    unmeasured: tuple[str, ...] = ()  # types of tensors whose speed nobody measured here yet

    @property
    def recommended(self) -> str:
        """The first file of the quant to take; empty where nothing is recommended."""
        chosen = self.advice.recommendation.chosen if self.advice else None
        return chosen.offer.file if chosen else ""

    def candidate(self, variant: Variant) -> Candidate | None:
        """Return how a variant would do on this machine."""
        return self.by_file.get(variant.files[0].path)

    @property
    def variants(self) -> tuple[Variant, ...]:
        """What can be fetched of it; measurements for makers of quants are no models."""
        return tuple(v for v in self.found.variants if v.kind != "imatrix")

    def chosen(self, choice: str = "") -> Variant | None:
        """Return the variant that `choice` names, or the recommended one, or the only one."""
        from backend.hub.variants import choose

        if not choice:
            for variant in self.variants:
                if variant.files[0].path == self.recommended:
                    return variant
        try:
            return choose(self.found.variants, choice, self.found.repo)
        except SternaError:
            return None


def meant(text: str) -> Reference | None:
    """Return the model that a person named or pasted; None where these are words to look for."""
    from backend.hub import reference

    try:
        named = reference.parse(text)
    except SternaError:
        return None
    return named if "/" in named.repo else None


def is_exact(text: str, named: Reference) -> bool:
    """Whether `text` can only be a model's name: an address, or a quant is in it."""
    return "://" in text or bool(named.choice) or text.strip() != named.repo


def look_into(catalogue: Catalogue, repo: str, revision: str = "main") -> Opened:
    """Return a repository with its files. Raises SternaError."""
    return Opened(catalogue.repository(repo, revision))


def judge(found: Repository, machine: Machine) -> Opened:
    """Return how its files would do on a machine: by one file's header, which is read in part."""
    from backend import advice, fit, remote_advice

    use = fit.Use()
    if not remote_advice.usable(found):
        return Opened(found, None, None)
    try:
        return _opened(found, remote_advice.advise(found, machine, use))
    except SternaError as error:
        if error.kind in GATED and found.model.params:
            model = fit.typical(found.model.params)
            offers = remote_advice.offers(remote_advice.usable(found))
            told = advice.advise(model, offers, machine, use)
            return _opened(found, told, error, estimated=True)
        return Opened(found, None, error)


def _opened(
    found: Repository, told: Advice, error: SternaError | None = None, *, estimated: bool = False
) -> Opened:
    from backend import fit

    types: set[str] = set()
    for candidate in told.candidates if told.runs else ():
        if candidate.speed is None:
            types |= fit.weights_per_token(fit.as_offered(told.model, candidate.offer)[0]).keys()
    by_file = {c.offer.file: c for c in told.candidates}
    return Opened(found, told, error, estimated, by_file, tuple(sorted(types)))


def order(found: Repository, variant: Variant) -> Order:
    """Return what to fetch for a variant."""
    from backend.hub.order import order_of

    return order_of(found, variant)


def order_for(catalogue: Catalogue, name: str) -> Order:
    """Return what to fetch for `owner/repo:QUANT`. Raises SternaError."""
    from backend.hub import reference
    from backend.hub.variants import choose

    meant = reference.parse(name)
    found = catalogue.repository(meant.repo, meant.revision)
    return order(found, choose(found.variants, meant.choice, found.repo))


def quants(model: FoundModel) -> list[str]:
    """Return the quants that a search result's file names tell, best first."""
    from backend.hub.variants import RemoteFile, group

    variants = group([RemoteFile(name) for name in model.names])
    return list(dict.fromkeys(v.quant for v in variants if v.kind == "model" and v.quant))
