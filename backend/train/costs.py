"""What training keeps in memory, counted from the shape of a model: the saved tensors of a forward pass.

For each token a decoder layer keeps what its backward pass needs. With frozen matrices that is the input
of each norm, q, k, v and the result of attention, and the factors of the feed-forward's product. An adapter
adds, once for all matrices that share it, their input (not LoRA-FA, not VeRA), and what lies between its
halves. Checked against PyTorch's own count of saved tensors (tests), technique by technique.
"""

from dataclasses import dataclass

from backend.train.recipe import Technique
from backend.train.shape import Matrix, ModelShape, chosen

_TILE_TOKENS, _TILE_LOGITS = 256, 32_768  # of the loss; see backend.train.loop.memory
_TILE_COPIES = 7
_MASK_BYTES = (
    4  # of an input that dropout passes or not: on a processor PyTorch multiplies by floats
)
_NORMED_TWICE = ("gemma2", "gemma3_text", "gemma3")  # norms behind attention and feed-forward too
_HEAD_NORMED = ("qwen3", "gemma3_text", "gemma3")
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
    """Numbers kept for one token in one layer: floats, and bytes of masks."""

    floats: float
    mask_bytes: float = 0.0


def layer_floats(shape: ModelShape, technique: Technique) -> PerToken:
    """Return what one layer keeps for one token until its backward pass."""
    matrices = [m for m in chosen(shape, technique.targets) if m.module != "lm_head"]
    if technique.name == "sft":
        matrices = list(shape.matrices)
    base = _base_floats(shape)
    floats, masks = _adapter(shape, technique, matrices)
    return PerToken(base + floats, masks)


def _base_floats(shape: ModelShape) -> float:
    h, f = shape.hidden, shape.feed_forward
    q, kv = shape.heads * shape.head_width, shape.kv_heads * shape.head_width
    norms = 2 * h + 2  # their inputs, and the root of the mean of squares
    attention = q + 2 * kv + q + shape.heads  # q k v, the result, the logarithm of the sums
    product = 3 * f  # gate, its activation, up
    if shape.family in _NORMED_TWICE:
        norms += 2 * h + 2
    if shape.family in _HEAD_NORMED:
        norms += q + kv + shape.heads + shape.kv_heads
    if shape.family in _SUB_NORMED:
        norms += q + f + 2
    return norms + attention + product


def _adapter(
    shape: ModelShape, technique: Technique, matrices: list[Matrix]
) -> tuple[float, float]:
    """Return floats and mask bytes that the technique keeps for one token in one layer."""
    r, dropout = technique.rank, technique.dropout > 0 and technique.name != "sft"
    each = [(m, m.count / shape.layers) for m in matrices]
    inputs = sum(m.inputs * n for m, n in each)
    between = sum(r * n for _, n in each)
    outputs = sum(m.outputs * n for m, n in each)
    shared = _shared_inputs(matrices)
    mask = _MASK_BYTES * inputs if dropout else 0.0
    match technique.name:
        case "sft":
            norms = 2 * shape.hidden
            return shared + norms, 0.0
        case "vera":
            return between + outputs, mask
        case "lora-fa":
            return between, mask
        case _:
            kept = inputs if dropout else shared
            magnitudes = 4 * outputs if technique.dora else 0.0
            return kept + between + magnitudes, mask


def _shared_inputs(matrices: list[Matrix]) -> float:
    """Return the widths of the inputs that are kept, each once for all that read it."""
    names = {m.module: m for m in matrices}
    total = 0.0
    for group in _SHARE:
        found = [names[name] for name in group if name in names]
        total += max((m.inputs for m in found), default=0)
    others = {m.module for m in matrices} - {name for group in _SHARE for name in group}
    return total + sum(names[name].inputs for name in others)


def tile_bytes(shape: ModelShape, tokens: int) -> int:
    """Return the bytes of logits and what is computed from them, at the moment of most."""
    return _TILE_COPIES * min(tokens, _TILE_TOKENS) * min(shape.vocab, _TILE_LOGITS) * 4


def layer_work(shape: ModelShape, tokens: int) -> int:
    """Return the bytes of the gradients in flight while one layer goes backward."""
    widest = 3 * shape.feed_forward + 4 * shape.hidden
    return tokens * widest * 4


def flops_per_token(
    shape: ModelShape, technique: Technique, length: float, trainable: int, *, checkpointing: bool
) -> float:
    """Return floating-point operations of one token, forward and backward.

    2 P forward and 2 P for the gradients of inputs; 2 more for each weight that learns; the head twice
    more, for its logits are computed again; attention over half of the row on average.
    """
    layers = sum(m.weights for m in shape.matrices)
    head = shape.vocab * shape.hidden
    attention = 2 * shape.layers * shape.heads * shape.head_width * length
    forward = 2 * layers + attention
    total = 2 * forward + 2 * attention + 6 * head
    total += 6 * trainable if technique.name != "sft" else 2 * layers
    return total + (forward if checkpointing else 0)
