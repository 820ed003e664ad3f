"""How fast: predicted from what was measured of the machine, tensor type by tensor type.

seconds of a token = sum over tensor types of weights / (weights a second)
                   + layers * (seconds beside the products) + TOKEN
                   + multiplications of attention / (multiplications a second)
                   + bytes of keys and values / (bytes read a second)

A model's own runs on this machine stand in for the prediction once there are any, and all runs correct
it (`correction`).
"""

import statistics
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from backend.fit.model import Model, weights_per_token
from backend.machine.history import Run
from backend.machine.speeds import Speeds, rate

PROMPT, ANSWER = 128, 64  # tokens that speeds are told for, as `sterna bench` measures them
_MODEL_ERROR = 0.06  # of the formula itself, beside the spread of the measurements
TOKEN = 2e-4  # seconds of a token beside its layers: it is chosen, and passes between C and Python
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
    weights = weights_per_token(model)
    heads = {name: count for name, count in weights.items() if name.startswith("head ")}
    layers = {name: count for name, count in weights.items() if name not in heads}
    products, head = _products(layers, speeds.one), _products(heads, speeds.one)
    reading = _products(layers, speeds.many)
    if products is None or head is None or reading is None:
        return None
    writing = products + head + len(model.layers) * speeds.layer + TOKEN

    def attention(positions: float) -> float:
        kept = kept_bytes(model, positions)
        return attended(model, positions) / speeds.attend_one + kept / speeds.bandwidth

    # of a prompt, only the last token is multiplied with the output matrix
    reading += head / PROMPT + attended(model, PROMPT / 2) / speeds.attend_many
    return Speed(
        prompt=factor / reading,
        answer=factor / (writing + attention(PROMPT + ANSWER / 2)),
        full=factor / (writing + attention(context)),
        band=_MODEL_ERROR + speeds.spread,
    )


def correction(runs: Iterable[Run], speeds: Speeds) -> float:
    """Return by what factor models here answer faster than their products alone would tell.

    The median over the models that ran, of each the median of its last runs.
    """
    by_key: dict[str, list[float]] = {}
    for run in runs:
        products = _products(run.weights, speeds.one)
        if run.answer and products is not None and run.context <= _SHORT:
            expected = products + run.layers * speeds.layer + TOKEN
            by_key.setdefault(run.key, []).append(run.answer * expected)
    found = [statistics.median(ratios[-8:]) for ratios in by_key.values()]
    return min(max(statistics.median(found), 0.5), 1.5) if found else 1.0


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
