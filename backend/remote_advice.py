"""Advice about a repository of the Hub, from the header of one of its files and the sizes of all."""

from collections.abc import Sequence
from functools import lru_cache

from backend import advice, fit
from backend.advice import Advice
from backend.errors import SternaError
from backend.fit import Model, Offer, Use
from backend.hub.remote_header import read_remote
from backend.hub.repository import Repository
from backend.hub.variants import Variant
from backend.machine import Machine, read_machine

_HELD = 32  # headers that are kept in memory


def usable(found: Repository) -> list[Variant]:
    """Return the variants that are whole models in GGUF of a quant that their name tells."""
    return [
        v for v in found.variants if v.kind == "model" and not v.missing and v.quant and _is_gguf(v)
    ]


def offers(variants: Sequence[Variant]) -> list[Offer]:
    """Return variants as the fit takes them."""
    return [Offer(v.quant, v.bytes, v.files[0].path) for v in variants]


def read(found: Repository) -> Model:
    """Return the model of a repository: one header tells the shapes that all its files have.

    Without a GGUF it is taken as a usual model of its number of parameters. Raises SternaError.
    """
    variants = usable(found) or [v for v in found.variants if v.kind == "model" and _is_gguf(v)]
    if variants:
        # the fewest parts: each is a question to the Hub
        return _read(found, min(variants, key=lambda v: (len(v.files), v.bytes or 0)))
    if found.model.params:
        return fit.typical(found.model.params)
    raise SternaError(
        "not_found",
        f"{found.repo} has no GGUF file, and the Hub does not say how large its model is.",
        "Look for a GGUF of the same model: `sterna search` with its name.",
    )


@lru_cache(maxsize=_HELD)
def _read(found: Repository, variant: Variant) -> Model:
    return fit.read_model(read_remote(found, variant))


def advise(found: Repository, machine: Machine, use: Use) -> Advice:
    """Return advice on the files of a repository; raises SternaError."""
    return advice.advise(read(found), offers(usable(found)), machine, use)


def best(found: Repository, variants: Sequence[Variant]) -> Variant | None:
    """Return which of the variants to take for this machine, None where that cannot be told."""
    try:
        told = advice.advise(read(found), offers(variants), read_machine(), Use())
    except SternaError:
        return None
    chosen = told.recommendation.chosen
    if chosen is None:
        return None
    return next((v for v in variants if v.files[0].path == chosen.offer.file), None)


def _is_gguf(variant: Variant) -> bool:
    return variant.files[0].path.lower().endswith(".gguf")
