"""Which files can be made of a model: each with its exact size, so that one can be chosen by it."""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from backend import losses
from backend.gguf import quantising
from backend.gguf.card import describe, require_model
from backend.gguf.file import GGUFFile, open_gguf
from backend.quants import QUANTS, Quant

_FEW = 8_000_000_000  # parameters: below, a model has little redundancy


@dataclass(frozen=True, slots=True)
class Choice:
    """A quant, and the bytes of the file."""

    quant: Quant
    bytes: int


@dataclass(frozen=True, slots=True)
class Offer:
    """What can be made, largest first, and the quant that is usually taken.

    `quant` and `bytes`: of the source. `lossy`: it is quantised already, so that the loss of some
    choices adds to its own. `measured`: what quants of this model lose, by the name of the quant.
    """

    quant: str
    bytes: int
    choices: tuple[Choice, ...]
    usual: str
    lossy: bool
    measured: Mapping[str, losses.Loss]


def of_file(path: str | os.PathLike[str]) -> Offer:
    """Return the smaller files that can be made of a GGUF file; raises SternaError."""
    with open_gguf(path) as file:
        require_model(file)
        card = describe(file)
        ternary = card.arch.startswith("bitnet") or _is_ternary(file)
        sizes = {
            quant: quantising.planned_bytes(file, quant)
            for quant in _fitting(ternary, mixture=bool(card.experts))
        }
        smaller = {
            quant: size
            for quant, size in sizes.items()
            if size < card.bytes and quant != card.quant
        }
        again = any(quantising.lossy(file, quantising.plan(file, quant)) for quant in smaller)
        known = losses.measured(losses.key_of(card))
        usual = _usual(smaller, card.params)
        return Offer(card.quant, card.bytes, _choices(smaller), usual, again, known)


def of_checkpoint(folder: str | os.PathLike[str]) -> Offer:
    """Return the GGUF files that can be made of a checkpoint; raises SternaError."""
    from backend.gguf.converting import name_of, open_checkpoint

    with open_checkpoint(folder) as checkpoint:
        own = checkpoint.own
        ternary = own in quantising.TERNARY
        fitting = _fitting(ternary, mixture=checkpoint.traits.experts > 0)
        sizes = {own: checkpoint.planned_bytes()}
        for quant in fitting:
            if quant != own:
                sizes[quant] = checkpoint.planned_bytes(quant)
        most = sizes[own] if not ternary else max(sizes.values())
        kept = {quant: size for quant, size in sizes.items() if size <= most}
        key = losses.model_key(checkpoint.arch, name_of(Path(folder)), checkpoint.params)
        known = losses.measured(key)
        return Offer(own, checkpoint.stored, _choices(kept), own, False, known)


def _fitting(ternary: bool, *, mixture: bool) -> list[str]:
    """Return the quants that make sense: ternary ones for ternary weights, MXFP4 for experts alone."""
    return [
        quant
        for quant in quantising.makeable()
        if (quant in quantising.TERNARY) == ternary and (quant != "MXFP4" or mixture)
    ]


def _is_ternary(file: GGUFFile) -> bool:
    return any(tensor.type_name in quantising.TERNARY for tensor in file.tensors.values())


def _choices(sizes: dict[str, int]) -> tuple[Choice, ...]:
    ordered = sorted(sizes.items(), key=lambda item: -item[1])
    return tuple(Choice(QUANTS[quant], size) for quant, size in ordered)


def _usual(sizes: dict[str, int], params: int) -> str:
    wanted = "Q5_K_M" if params < _FEW else "Q4_K_M"
    return next((quant for quant in (wanted, "Q4_K_M", "TQ2_0") if quant in sizes), "")
