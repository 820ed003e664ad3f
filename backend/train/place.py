"""Where a run will compute, told without PyTorch: the processor, or a graphics card that PyTorch can use."""

import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Literal

from backend.machine import GPU, available_memory, read_machine
from backend.train.recipe import Recipe

_CONTEXT = 512 << 20  # bytes that CUDA takes of a card for itself
_VENDORS = ("nvidia", "amd", "any")  # whose cards PyTorch calls cuda; "any" is a supposed one


@dataclass(frozen=True, slots=True)
class Place:
    """`free`: bytes of memory that a run could take there; `name`: of the card.

    `heavy`: PyTorch is a build for cards, whose libraries take memory even where there is none.
    """

    kind: Literal["cpu", "cuda"]
    free: int
    name: str = ""
    heavy: bool = False


def place_of(recipe: Recipe) -> Place:
    """Return where a recipe's run will compute. Apple's cards count as the processor: one memory."""
    heavy = _has_cuda()
    wanted = heavy and recipe.base.device not in ("cpu", "mps")
    card = next(filter(_usable, read_machine().gpus), None) if wanted else None
    if card is None:
        return Place("cpu", available_memory(), heavy=heavy and sys.platform == "linux")
    free = card.free if card.free is not None else card.total
    return Place("cuda", max((free or 0) - _CONTEXT, 0), card.name)


def mixed(recipe: Recipe, kind: str) -> bool:
    """Whether products are computed in bfloat16 beside what learns in float32, on a device of this kind."""
    return kind == "cuda" and recipe.base.dtype != "float32"


def _has_cuda() -> bool:
    """Whether the PyTorch that is installed, or would be, knows graphics cards."""
    try:
        return not version("torch").endswith("+cpu")
    except PackageNotFoundError:
        return True


def _usable(card: GPU) -> bool:
    return card.vendor.lower() in _VENDORS and not card.shared
