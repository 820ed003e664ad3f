"""How fast: predicted from what was measured of the machine, step by step.

seconds of a token = sum over tensor types of weights / (weights a second)
                   + values that are normalised * seconds + values that are turned * seconds
                   + layers * (seconds of their other steps) + words of the vocabulary * seconds + TOKEN
                   + multiplications of attention / (multiplications a second)
                   + bytes of keys and values / (bytes a second)

A model's own runs on this machine stand in for the prediction once there are any, and all runs correct
it (`correction`).
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.fit.model import Model, Work, work_per_token
from backend.machine.history import Run
from backend.machine.speeds import Speeds, rate

PROMPT, ANSWER = 128, 64  # tokens that speeds are told for, as `sterna bench` measures them
_MODEL_ERROR = 0.08  # of the formula itself, beside the spread of the measurements
TOKEN = 5e-5  # seconds in which a token passes between C and Python, and threads wake
_SHORT = 1024  # tokens: up to there attention hardly counts
_SMALL_CACHE = 64 << 20  # the engine keeps a cache of fewer bytes in float32


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of a short prompt and a short answer, and of an answer when the context is full.

    `band` is the error, as a share. `measured`: by real runs of such a model here, not predicted.
    """

    prompt: float
    answer: float
    full: float
    band: float
    measured: bool = False


def predict(model: Model, context: int, speeds: Speeds | None, factor: float = 1.0) -> Speed | None:
    """Return the speed of a model; None where a figure is missing. `factor`: see `correction`."""
    if speeds is None:
        return None
    work = work_per_token(model)
    heads = {name: count for name, count in work.weights.items() if name.startswith("head ")}
    layers = {name: count for name, count in work.weights.items() if name not in heads}
    writing, head = _seconds(work, speeds), _products(heads, speeds.one)
    reading = _products(layers, speeds.many)
    if writing is None or head is None or reading is None:
        return None

    def attention(positions: float) -> float:
        kept = kept_bytes(model, positions)
        return attended(model, positions) / speeds.attend_one + kept / speeds.attend_bytes

    # of a prompt, only the last token is multiplied with the output matrix
    reading += head / PROMPT + attended(model, PROMPT / 2) / speeds.attend_many
    reading += work.normalised * speeds.normalise_many + work.turned * speeds.turn_many
    return Speed(
        prompt=factor / reading,
        answer=factor / (writing + attention(PROMPT + ANSWER / 2)),
        full=factor / (writing + attention(context)),
        band=_MODEL_ERROR + speeds.spread,
    )


def correction(runs: Iterable[Run], speeds: Speeds) -> float:
    """Return by what factor models here answer faster than what was measured would tell.

    The median over the models that ran, of each the median of its last runs.
    """
    by_key: dict[str, list[float]] = {}
    for run in runs:
        work = Work(run.weights, run.layers, run.normalised, run.turned, run.vocab)
        expected = _seconds(work, speeds)
        if run.answer and expected is not None and run.context <= _SHORT:
            by_key.setdefault(run.key, []).append(run.answer * expected)
    found = [statistics.median(ratios[-8:]) for ratios in by_key.values()]
    return min(max(statistics.median(found), 0.5), 1.5) if found else 1.0


def _seconds(work: Work, speeds: Speeds) -> float | None:
    """Return the seconds of a token of an answer beside attention, None where a figure is missing."""
    products = _products(work.weights, speeds.one)
    if products is None:
        return None
    values = work.normalised * speeds.normalise + work.turned * speeds.turn
    return products + values + work.layers * speeds.layer + work.vocab * speeds.choose + TOKEN


def _products(weights: Mapping[str, float], rates: Mapping[str, float]) -> float | None:
    """Return the seconds of a token's products, None where a figure is missing."""
    total = 0.0
    for name, count in weights.items():
        one = rate(rates, name)
        if one is None:
            return None
        total += count / one
    return total


def kept_bytes(model: Model, positions: float) -> float:
    """Return the bytes of keys and values of so many positions, over all layers, as the engine has them
    unless it is told otherwise.
    """
    values = sum(
        layer.kv_heads
        * (layer.key_width + layer.value_width)
        * min(positions, layer.window or positions)
        for layer in model.layers
    )
    return values * (4 if 4 * values <= _SMALL_CACHE else 2)


def attended(model: Model, positions: float) -> float:
    """Return the multiplications of a token that attends to so many positions, over all layers."""
    return sum(
        model.heads
        * (layer.key_width + (layer.value_width or layer.key_width))
        * min(positions, layer.window or positions)
        for layer in model.layers
        if layer.kv_heads
    )
