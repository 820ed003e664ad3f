"""Numbers for whoever does not want to choose: by technique and by the size of the model.

Small models need larger steps: rates fall with the size, from 2e-3 below 20 M parameters to 1e-4 above
10 B. LoRA+ halves A's rate (Hayou et al. 2024), VeRA takes ten times LoRA's (Kopiczko et al. 2023), a full
fine-tune a tenth. Ranks and alphas are those of the papers and of common practice.
"""

import math

import msgspec

from backend.train.recipe import Recipe, Technique
from backend.train.shape import ModelShape

_RATES = ((20e6, 2e-3), (200e6, 1e-3), (2e9, 3e-4), (10e9, 2e-4), (math.inf, 1e-4))
_FACTORS = {"lora-plus": 0.5, "vera": 10.0, "sft": 0.1}
EVALUATIONS, _SAVES, SAMPLES = 10, 10, 4  # in a run


def technique_numbers(technique: Technique, params: int) -> Technique:
    """Return the technique with rank and alpha filled in."""
    rank = technique.rank
    if rank == 0:
        small = params < 50e6
        rank = (64 if small else 256) if technique.name == "vera" else (8 if small else 16)
    alpha = technique.alpha or 2.0 * rank
    return msgspec.structs.replace(technique, rank=rank, alpha=alpha)


def learning_rate(technique: Technique, params: int, *, masters: bool = False) -> float:
    """Return a rate; `masters`: ternary weights learn, which takes some ten times more."""
    rate = next(rate for limit, rate in _RATES if params < limit)
    rate *= _FACTORS.get(technique.name, 1.0) * (10.0 if masters else 1.0)
    return float(f"{rate:.1e}")


def before(recipe: Recipe, shape: ModelShape) -> Recipe:
    """Fill in what the model alone decides. Of a mixture only attention learns, which peft has to be told."""
    technique = technique_numbers(recipe.technique, shape.params)
    if shape.mixture is not None and technique.targets == "all-linear":
        names = [matrix.module for matrix in shape.matrices]
        technique = msgspec.structs.replace(technique, targets=names)
    schedule = recipe.schedule
    if not schedule.learning_rate:
        masters = shape.ternary and technique.name == "sft"
        rate = learning_rate(technique, shape.params, masters=masters)
        schedule = msgspec.structs.replace(schedule, learning_rate=rate)
    return msgspec.structs.replace(recipe, technique=technique, schedule=schedule)


def steps(recipe: Recipe, samples: int, processes: int = 1) -> int:
    """Return the steps of a run over so many sequences, counted as the trainer counts them."""
    s = recipe.schedule
    if s.max_steps:
        return s.max_steps
    batches = math.ceil(math.ceil(samples / s.batch) / processes)
    an_epoch = max(batches // s.accumulation + (batches % s.accumulation > 0), 1)
    return max(1, math.ceil(s.epochs * an_epoch))


def after(recipe: Recipe, total: int, *, validates: bool) -> Recipe:
    """Fill in what the length of the run decides: `total` steps."""
    technique, watch, save = recipe.technique, recipe.watch, recipe.save
    if technique.name == "delta-lora" and technique.start_step < 0:
        technique = msgspec.structs.replace(technique, start_step=max(1, total // 10))
    every = watch.evaluate_every or max(1, total // EVALUATIONS)
    sample = watch.sample_every or max(1, total // SAMPLES)
    watch = msgspec.structs.replace(
        watch, evaluate_every=every if validates else watch.evaluate_every, sample_every=sample
    )
    save = msgspec.structs.replace(save, every=save.every or max(1, total // _SAVES))
    return msgspec.structs.replace(recipe, technique=technique, watch=watch, save=save)
