"""What training keeps in memory, counted from the shape of a model: the saved tensors of a forward pass.

For each token a decoder layer keeps what its backward pass needs. With frozen matrices that is the input
of each norm, q, k, v and the result of attention, and the factors of the feed-forward's product. An adapter
adds, once for all matrices that share it, their input (not LoRA-FA, not VeRA), and what lies between its
halves. Checked against PyTorch's own count of saved tensors (tests), technique by technique.

With mixed precision (`mixed`, on graphics cards) products are bfloat16, norms stay float32, and each adapted
matrix casts its input for itself: it is kept once for each.
"""

from dataclasses import dataclass

from backend.train.place import Place
from backend.train.recipe import Technique
from backend.train.shape import Matrix, ModelShape, chosen

_TILE_TOKENS, _TILE_LOGITS = 256, 32_768  # of the loss; see backend.train.loop.memory
_TILE_COPIES = 7
_TILE = 1 << 23  # logits that exist at once where a frozen matrix scores
_TILES = 2  # of them: logits and probabilities
_CARD_TOKENS = 4096  # of the loss on a graphics card, which works in place
_MASK_BYTES = 4  # of an input that dropout passes: on a processor PyTorch multiplies by floats
_CARD_MASK_BYTES = 1
_NORMED_TWICE = ("gemma2", "gemma3_text", "gemma3")  # norms behind attention and feed-forward too
_HEAD_NORMED = ("qwen3", "qwen3_moe", "qwen3moe", "gemma3_text", "gemma3")
_SUB_NORMED = ("bitnet", "bitnet-b1.58", "bitnet-25")
# Which matrices read the same input. A fused one stands for those that it fuses.
_SHARE = (
    ("q_proj", "k_proj", "v_proj", "qkv_proj", "c_attn"),
    ("o_proj",),
    ("gate_proj", "up_proj", "gate_up_proj", "c_fc"),
    ("down_proj",),
    ("c_proj",),
)


@dataclass(frozen=True, slots=True)
class PerToken:
    """Numbers kept for one token in one layer: float32, bfloat16, and bytes of masks."""

    floats: float
    halves: float = 0.0
    mask_bytes: float = 0.0

    @property
    def bytes(self) -> float:
        """All of them in bytes."""
        return 4 * self.floats + 2 * self.halves + self.mask_bytes


def layer_keeps(
    shape: ModelShape, technique: Technique, *, mixed: bool = False, casts: bool = True
) -> PerToken:
    """Return what one layer keeps for one token until its backward pass.

    `casts`: mixed adapters cast their input, each for itself; beside weights in 4 bits they do not.
    """
    matrices = [m for m in chosen(shape, technique.targets) if m.module != "lm_head"]
    if technique.name == "sft":
        matrices = list(shape.matrices)
    norms, products = _base(shape)
    if not mixed:
        shared = _shared_inputs(matrices)
        floats, inputs = _adapter(shape, technique, matrices, shared, mixed=False)
        return PerToken(norms + products + floats, mask_bytes=_MASK_BYTES * inputs)
    each = sum(m.inputs * m.count / shape.layers for m in matrices)
    if shape.family in _SUB_NORMED:  # squares are float32: of what, and what comes out
        norms, products = norms + 2 * shape.feed_forward, products - shape.feed_forward
    own = each if casts else _shared_inputs(matrices)
    halves, inputs = _adapter(shape, technique, matrices, own, mixed=True)
    if technique.name == "sft":  # the norms' outputs stay float32; attention's result is an input
        norms, halves = norms + 2 * shape.hidden, each - shape.heads * shape.head_width
    return PerToken(norms, products + halves, _CARD_MASK_BYTES * inputs)


def _base(shape: ModelShape) -> tuple[float, float]:
    """Return the numbers that norms keep, and those that products keep."""
    h, f = shape.hidden, shape.feed_forward
    q, kv = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    norms = 2 * h + 2  # their inputs, and the root of the mean of squares
    norms += shape.heads  # the logarithm of attention's sums, as exact as they are
    attention = q + 2 * kv + q  # q k v, the result
    product = 3 * f  # gate, its activation, up
    if shape.family in _NORMED_TWICE:
        norms += 2 * h + 2
    if shape.family in _HEAD_NORMED:
        norms += q + kv + shape.heads + shape.kv_heads
    if shape.family in _SUB_NORMED:
        norms += q + f + 2
    if shape.mixture is not None:
        # What each expert says, before it is weighed; the router's shares.
        product += shape.mixture.used * (h + 1) + 2 * shape.mixture.count
    return norms, attention + product


def _adapter(
    shape: ModelShape,
    technique: Technique,
    matrices: list[Matrix],
    shared: float,
    *,
    mixed: bool,
) -> tuple[float, float]:
    """Return numbers that the technique keeps for one token in one layer, and masked inputs.

    `shared`: the inputs that are kept where no dropout makes each matrix its own.
    """
    r, dropout = technique.rank, technique.dropout > 0 and technique.name != "sft"
    each = [(m, m.count / shape.layers) for m in matrices]
    inputs = sum(m.inputs * n for m, n in each)
    between = sum(r * n for _, n in each)
    outputs = sum(m.outputs * n for m, n in each)
    mask = inputs if dropout else 0.0
    match technique.name:
        case "sft":
            norms = 2 * shape.hidden
            return shared + norms, 0.0
        case "vera":  # x A^T too is one for all that read the same x
            once = between if dropout or mixed else r * _inputs(matrices)
            return once + outputs, mask
        case "lora-fa":
            return between, mask
        case _:
            kept = inputs if dropout else shared
            magnitudes = 2 * outputs if technique.dora else 0.0
            return kept + between + magnitudes, mask


def _shared_inputs(matrices: list[Matrix]) -> float:
    """Return the widths of the inputs that are kept, each once for all that read it."""
    return sum(_widths(matrices))


def _inputs(matrices: list[Matrix]) -> int:
    """Return how many inputs there are, one for all that read it."""
    return len(_widths(matrices))


def _widths(matrices: list[Matrix]) -> list[int]:
    names = {m.module: m for m in matrices}
    groups = [[names[name] for name in group if name in names] for group in _SHARE]
    others = {m.module for m in matrices} - {name for group in _SHARE for name in group}
    shared = [max(m.inputs for m in group) for group in groups if group]
    return shared + [names[name].inputs for name in others]


def scored_at_once(vocab: int) -> int:
    """Return how many tokens have their logits at once where a frozen matrix scores (`loop.head`)."""
    return max(_TILE // vocab, 1)


def tile_bytes(
    shape: ModelShape, tokens: int, place: Place, *, mixed: bool = False, frozen: bool = False
) -> int:
    """Return the bytes of logits and what is computed from them, at the moment of most.

    `frozen`: the output matrix is, and of float32.
    """
    logits = min(shape.vocab, _TILE_LOGITS)
    if place.kind == "cpu" and frozen:
        rows = min(tokens, scored_at_once(shape.vocab))
        return 4 * (_TILES * rows * shape.vocab + tokens * shape.hidden)
    if place.kind == "cpu":
        return _TILE_COPIES * min(tokens, _TILE_TOKENS) * logits * 4
    gradient = tokens * shape.hidden * 4
    return min(tokens, _CARD_TOKENS) * logits * (2 if mixed else 4) + gradient


def layer_work(shape: ModelShape, tokens: int, *, mixed: bool = False) -> int:
    """Return the bytes of the gradients in flight while one layer goes backward."""
    widest = 3 * shape.feed_forward + 4 * shape.hidden
    if mixed:  # and the widest input, as float32 for its adapter
        return tokens * (2 * widest + 4 * shape.feed_forward)
    return tokens * widest * 4


def scores(shape: ModelShape, batch: int, length: int) -> int:
    """Return the bytes of attention's weights where PyTorch keeps them: float32 on a card, with
    fewer keys than queries, for which none of its fused kernels is made.
    """
    grouped = shape.kv_heads != shape.heads
    return 4 * batch * shape.heads * length**2 * grouped


def unpacked(shape: ModelShape, *, each: int) -> int:
    """Return the bytes of one matrix of codes while it is made into numbers of `each` bytes."""
    return max(m.inputs * m.outputs for m in shape.matrices) * (1 + 2 * each)


def flops_per_token(
    shape: ModelShape, technique: Technique, length: float, trainable: int, *, checkpointing: bool
) -> float:
    """Return floating-point operations of one token, forward and backward.

    2 P forward and 2 P for the gradients of inputs; 2 more for each weight that learns; the head twice
    more, for its logits are computed again; attention over half of the row on average.
    """
    layers = sum(m.weights for m in shape.matrices)
    if shape.mixture is not None:
        layers += shape.layers * shape.hidden * (3 * shape.feed_forward + shape.mixture.count)
    head = shape.vocab * shape.hidden
    attention = 2 * shape.layers * shape.heads * shape.head_width * length
    forward = 2 * layers + attention
    total = 2 * forward + 2 * attention + 6 * head
    total += 6 * trainable if technique.name != "sft" else 2 * layers
    return total + (forward if checkpointing else 0)
