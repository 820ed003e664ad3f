"""What a run will take, told before it begins: parameters, memory, time, the largest batch.

Needs a recipe and the shape of its base, no weights and no PyTorch.
"""

import math
from dataclasses import dataclass

from backend.machine import physical_cores
from backend.train import catalogue, costs, defaults, speed
from backend.train.place import Place, mixed, place_of
from backend.train.recipe import Recipe
from backend.train.shape import ModelShape, chosen

RUNTIME = 560 << 20  # Python with PyTorch, transformers, peft and trl, before any model
_CARD_LIBRARIES = 260 << 20  # what a PyTorch for cards takes more
_WORKSPACE = 64 << 20  # what cuBLAS takes of a graphics card, forward and backward
# glibc keeps freed blocks in pieces. Beside adapters, whose sums are made of parts that are freed between what
# the backward pass needs, half as much again as is in use; a full fine-tune has no such parts and uses again
# what it frees, but for a seventh (the allocator's own counts, of two shapes).
_PIECES = 1 / 2
_PIECES_FULL = 1 / 7
_STARTUP_S = 12.0  # loading them
_SAVED_BYTES = 4  # of a number in a saved adapter
_GRADIENT_BYTES = 4
_STATE_BYTES = 8  # AdamW's two moments
_OVERHEAD_S = 0.004  # of a layer in a batch, whatever its size
_LARGEST = 1 << 12
_PROMPTS = 2  # that are sampled where none are given


@dataclass(frozen=True, slots=True)
class Sequences:
    """The data as far as costs go: sequences, the longest and the mean length in tokens.

    `assumed`: nothing is known of the data.
    """

    count: int
    longest: int
    mean: float
    assumed: bool = False


@dataclass(frozen=True, slots=True)
class Estimate:
    """Bytes, seconds. `peak_memory` is the sum of its parts, what the libraries take included.

    All of it is memory of the device that computes: on a graphics card, what PyTorch allocates there.
    """

    trainable_parameters: int
    adapter_bytes: int
    runtime: int
    weights: int
    learning: int  # adapter, gradients and moments
    activations: int
    loss: int
    steps: int
    seconds: float
    largest_batch: int
    available: int
    roomy: bool = True
    """Whether there is memory for what the C library keeps of freed blocks, which is faster."""

    @property
    def peak_memory(self) -> int:
        """The most memory at once."""
        return self.runtime + self.weights + self.learning + self.activations + self.loss

    @property
    def fits(self) -> bool:
        """Whether there is that much now."""
        return self.peak_memory <= self.available


def assumed(recipe: Recipe) -> Sequences:
    """Return the data that is reckoned with where none is known: 1000 rows as long as may be."""
    length = recipe.data.max_length
    return Sequences(1000, length, length, assumed=True)


def estimate(
    recipe: Recipe,
    shape: ModelShape,
    data: Sequences,
    *,
    place: Place | None = None,
    available: int | None = None,
) -> Estimate:
    """Reckon. `place`: where it computes; `available`: bytes of memory there, else what is free now."""
    recipe = defaults.before(recipe, shape)
    place = place or place_of(recipe)
    t, s = recipe.technique, recipe.schedule
    trainable = catalogue.trainable(t, shape)
    free = place.free if available is None else available
    runtime = RUNTIME + _CARD_LIBRARIES * place.heavy if place.kind == "cpu" else _WORKSPACE
    weights = weight_bytes(recipe, shape, place)
    learning = learning_bytes(recipe, shape, trainable, place)
    activations, loss = _batch_bytes(recipe, shape, data, s.batch, place)
    pieces = _PIECES_FULL if t.name == "sft" else _PIECES
    kept = round((activations + loss) * pieces) if place.kind == "cpu" else 0
    roomy = runtime + weights + learning + activations + loss + kept <= free
    count = data.count if not recipe.data.packing else _packed(data, recipe.data.max_length)
    steps = defaults.steps(recipe, count, s.processes)
    return Estimate(
        trainable_parameters=trainable,
        adapter_bytes=adapter_bytes(recipe, shape),
        runtime=runtime,
        weights=weights,
        learning=learning,
        activations=activations + kept * roomy,
        loss=loss,
        steps=steps,
        seconds=_seconds(recipe, shape, data, steps, trainable, place),
        largest_batch=_largest(recipe, shape, data, place, free - runtime - weights - learning),
        available=free,
        roomy=roomy,
    )


def weight_bytes(recipe: Recipe, shape: ModelShape, place: Place) -> int:
    """Return the bytes of the frozen weights as training holds them."""
    layers = sum(m.weights for m in shape.matrices)
    if recipe.technique.name == "sft":
        return 4 * shape.params
    each = _each(recipe, place)
    if recipe.base.load_in_4bit:
        return round(layers * 0.516) + each * shape.rest  # NF4 with doubly quantised scales
    if shape.ternary:
        return layers // 4 + each * shape.rest
    return each * shape.params


def _each(recipe: Recipe, place: Place) -> int:
    """Return the bytes of a frozen weight."""
    halves = {"auto": place.kind == "cuda", "bfloat16": True, "float32": False}
    return 2 if halves[recipe.base.dtype] else 4


def learning_bytes(recipe: Recipe, shape: ModelShape, trainable: int, place: Place) -> int:
    """Return the bytes of what learns beside the weights: itself, its gradient and its moments.

    In a full fine-tune gradients come as activations go: they are counted there.
    """
    if recipe.technique.name == "sft":
        return trainable * _STATE_BYTES
    adapter = adapter_bytes(recipe, shape)
    cast = adapter // 2 if mixed(recipe, place.kind) else 0  # autocast's copies
    return trainable * (_GRADIENT_BYTES + _STATE_BYTES) + adapter + cast


def adapter_bytes(recipe: Recipe, shape: ModelShape) -> int:
    """Return the size of what is saved."""
    t = recipe.technique
    if t.name == "sft":
        return 4 * shape.params
    matrices = chosen(shape, t.targets)
    numbers = sum(catalogue.kept_in(t, m) * m.count for m in matrices)
    return _SAVED_BYTES * (numbers + catalogue.shared(t, matrices))


def _batch_bytes(
    recipe: Recipe, shape: ModelShape, data: Sequences, batch: int, place: Place
) -> tuple[int, int]:
    """Return (activations and what is in flight, the loss) of one batch."""
    half, full = mixed(recipe, place.kind), recipe.technique.name == "sft"
    longest = recipe.data.max_length if recipe.data.packing else data.longest
    length = min(longest, recipe.data.max_length)
    tokens = batch * length
    four = recipe.base.load_in_4bit
    one = tokens * costs.layer_keeps(shape, recipe.technique, mixed=half, casts=not four).bytes
    if place.kind == "cuda" and not half:
        one += costs.scores(shape, batch, length)
    kept = one * shape.layers
    if recipe.schedule.gradient_checkpointing:
        kept = tokens * shape.hidden * (2 if half and not full else 4) * shape.layers + one
    if full:
        copies = 2 * sum(m.weights for m in shape.matrices) if half else 0
        kept = max(kept + copies, _GRADIENT_BYTES * shape.params)
    edges = tokens * shape.hidden * 4 * 3  # embeddings, the last norm and its gradient
    mask = tokens * length
    in_flight = costs.layer_work(shape, tokens, mixed=half)
    if shape.ternary and not full:
        in_flight += costs.unpacked(shape, each=_each(recipe, place))
    frozen = not full and _each(recipe, place) == 4
    tile = costs.tile_bytes(shape, tokens, place, mixed=half, frozen=frozen)
    loss = max(tile, in_flight)
    return round(kept + edges + mask), loss


def _largest(recipe: Recipe, shape: ModelShape, data: Sequences, place: Place, room: int) -> int:
    """Return the largest batch that fits into `room` bytes, 0 where not even one does."""

    def fits(batch: int) -> bool:
        return sum(_batch_bytes(recipe, shape, data, batch, place)) <= room

    low, high = 0, _LARGEST
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(middle) else (low, middle - 1)
    return low


def _seconds(
    recipe: Recipe, shape: ModelShape, data: Sequences, steps: int, trainable: int, place: Place
) -> float:
    s = recipe.schedule
    rows = steps * s.batch * s.accumulation
    tokens = rows * (recipe.data.max_length if recipe.data.packing else data.mean)
    each = costs.flops_per_token(
        shape,
        recipe.technique,
        data.mean,
        trainable,
        checkpointing=s.gradient_checkpointing,
    )
    if place.kind == "cpu":
        rate = speed.of_processor(s.threads or physical_cores())
    else:
        rate = speed.of_card(place.name)
    batches = steps * s.accumulation
    trained = tokens * each / rate + batches * shape.layers * _OVERHEAD_S
    return _STARTUP_S + trained + _watching_s(recipe, shape, data, steps, each / rate)


def _watching_s(
    recipe: Recipe, shape: ModelShape, data: Sequences, steps: int, token_s: float
) -> float:
    """Return the seconds of evaluations and samples; `token_s`: of a token that is learned from.

    An evaluation is the forward half of that; a sample takes its tokens one by one.
    """
    w, share = recipe.watch, recipe.data.validation
    held = data.count * share / (1 - share)
    looks = 1 + (steps / w.evaluate_every if w.evaluate_every else defaults.EVALUATIONS)
    batch_s = shape.layers * _OVERHEAD_S / recipe.schedule.batch
    evaluated = looks * held * (data.mean * token_s + batch_s) / 2
    if w.sample_every < 0:
        return evaluated
    samples = steps / w.sample_every if w.sample_every else defaults.SAMPLES
    tokens = samples * w.sample_tokens * (len(w.prompts) or _PROMPTS)
    return evaluated + tokens * (shape.layers * _OVERHEAD_S + token_s)


def reached(
    recipe: Recipe, shape: ModelShape, trainable: int, tokens: int, steps: int, seconds: float
) -> float | None:
    """Return the operations a second of a run's steps, in the measure of an estimate.

    None where overhead was most of the time: that says nothing of speed.
    """
    s = recipe.schedule
    batches = steps * s.accumulation
    work = seconds - batches * shape.layers * _OVERHEAD_S
    if tokens < 1 or work < seconds / 2:
        return None
    each = costs.flops_per_token(
        shape,
        recipe.technique,
        tokens / (batches * s.batch),
        trainable,
        checkpointing=s.gradient_checkpointing,
    )
    return tokens * each / work


def _packed(data: Sequences, length: int) -> int:
    return max(1, math.ceil(data.count * data.mean / length))
