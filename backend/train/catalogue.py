"""The techniques as people choose them: names, one line each, and what they train. No PyTorch here.

Parameter counts by module of d_in inputs and d_out outputs, rank r:
LoRA r(d_in + d_out) (Hu et al. 2021), with DoRA d_out more; LoRA-FA r d_out (Zhang et al. 2023);
VeRA r + d_out (Kopiczko et al. 2023); LoRA+ (Hayou et al. 2024) and Delta-LoRA (Zi et al. 2023) as LoRA.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from backend.train.recipe import Technique, TechniqueName
from backend.train.shape import Matrix, ModelShape, chosen


@dataclass(frozen=True, slots=True)
class Entry:
    """A technique in words. `about` stands where it is chosen: what it does and what it costs."""

    name: TechniqueName
    title: str
    about: str
    paper: str


CATALOGUE: dict[str, Entry] = {
    entry.name: entry
    for entry in (
        Entry(
            "lora",
            "LoRA",
            "A small matrix pair beside each frozen matrix learns the change. The one to begin with.",
            "Hu et al. 2021, arXiv:2106.09685",
        ),
        Entry(
            "lora-fa",
            "LoRA-FA",
            "LoRA with A frozen: inputs need not be kept for it. Less memory on long rows; learns a "
            "little less.",
            "Zhang et al. 2023, arXiv:2308.03303",
        ),
        Entry(
            "vera",
            "VeRA",
            "Two vectors a matrix scale shared random matrices. The smallest adapters, about LoRA's "
            "memory, a higher learning rate.",
            "Kopiczko et al. 2023, arXiv:2310.11454",
        ),
        Entry(
            "lora-plus",
            "LoRA+",
            "B learns some 16 times faster than A: LoRA's memory, often sooner there.",
            "Hayou et al. 2024, arXiv:2402.12354",
        ),
        Entry(
            "delta-lora",
            "Delta-LoRA",
            "LoRA whose steps also move the weights. What comes out is exactly an adapter of twice "
            "the rank.",
            "Zi et al. 2023, arXiv:2309.02411",
        ),
        Entry(
            "sft",
            "full",
            "Every weight learns. The most memory by far: for small models.",
            "Ouyang et al. 2022, arXiv:2203.02155",
        ),
    )
}


def trainable_in(technique: Technique, matrix: Matrix) -> int:
    """Return how many numbers the technique trains for one matrix of the model."""
    r = technique.rank
    match technique.name:
        case "vera":
            return r + matrix.outputs
        case "lora-fa":
            return r * matrix.outputs
        case "sft":
            return matrix.inputs * matrix.outputs
        case _:
            magnitude = matrix.outputs if technique.dora else 0
            return r * (matrix.inputs + matrix.outputs) + magnitude


def kept_in(technique: Technique, matrix: Matrix) -> int:
    """Return how many numbers of the adapter are in memory for one matrix (VeRA's shared pair aside)."""
    r = technique.rank
    match technique.name:
        case "lora-fa":
            return r * (matrix.inputs + matrix.outputs)
        case "delta-lora" if technique.update_ratio:
            return 2 * r * (matrix.inputs + matrix.outputs)  # and the snapshot
        case _:
            return trainable_in(technique, matrix)


def shared(technique: Technique, matrices: Iterable[Matrix]) -> int:
    """Return how many frozen numbers all matrices share: VeRA's random pair, of the largest widths."""
    chosen = list(matrices)
    if technique.name != "vera" or not chosen:
        return 0
    widest = max(m.inputs for m in chosen) + max(m.outputs for m in chosen)
    return technique.rank * widest


def trainable(technique: Technique, shape: ModelShape) -> int:
    """Return how many numbers the technique trains in a model. Raises SternaError `bad_targets`."""
    if technique.name == "sft":
        return shape.params
    return sum(trainable_in(technique, m) * m.count for m in chosen(shape, technique.targets))
