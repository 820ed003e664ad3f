"""What each layer of a model keeps while it runs: keys and values of positions, or a state.

Read from the header of a GGUF. The meaning of its keys, and what an architecture does where a key is
missing, follow llama.cpp, whose converter writes these files.
"""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.gguf import Metadata

_MOST_LAYERS = 4096
_MOST = 1 << 24  # greatest width, count or window believed

# Every so many layers, one sees all positions and the others a window, where the file has no pattern.
_PERIODS = {
    "gemma2": 2, "gpt-oss": 2, "gemma3": 6, "gemma3n": 5, "cohere2": 4, "exaone4": 4, "olmo2": 4,
    "llama4": 4, "smallthinker": 4, "plamo3": 8,
}  # fmt: skip
_WINDOWS = {"gemma2": 4096, "llama4": 8192}  # where the file does not say
# Every so many layers, one has attention and the others a state.
_FULL_ATTENTION = {"qwen3next": 4, "qwen35": 4, "qwen35moe": 4}
_RWKV = ("rwkv6", "rwkv6qwen2", "rwkv7", "arwkv7")


@dataclass(frozen=True, slots=True)
class Layer:
    """What a layer keeps. Widths are values of one head.

    `window`: how many positions it sees, 0: all. `state`: float32 values of a sequence, whatever its
    length. A layer that reads another's keys and values, or has none, keeps nothing.
    """

    kv_heads: int = 0
    key_width: int = 0
    value_width: int = 0
    window: int = 0
    state: int = 0


def read_layers(data: Metadata) -> tuple[Layer, ...]:
    """Return the layers that a header describes; raises SternaError when it does not."""
    arch = data.string("general.architecture") or ""
    count = data.integer(f"{arch}.block_count")
    if count is None or not 0 < count <= _MOST_LAYERS:
        raise _unknown("how many layers the model has")
    if data.flag(f"{arch}.attention.causal") is False:
        return (Layer(),) * count  # an encoder reads everything at once and keeps nothing
    heads = _each(data, f"{arch}.attention.head_count", count)
    kv_heads = _each(data, f"{arch}.attention.head_count_kv", count) or heads
    states = _states(data, arch, count, kv_heads)
    attends = [bool(kv_heads and kv_heads[i]) and not states[i] for i in range(count)]
    if arch == "falcon-h1":  # each layer has both
        attends = [True] * count
    key_width, value_width, latent = _widths(data, arch, heads)
    if not any(attends) and not any(states):
        raise _unknown("how many attention heads it has")
    if any(attends) and (not kv_heads or not key_width):
        raise _unknown("the widths of its attention heads")
    windows = _windows(data, arch, count)
    own = (
        count
        - _number(data, f"{arch}.nextn_predict_layers")
        - _number(data, f"{arch}.attention.shared_kv_layers")
    )
    layers = []
    for i in range(count):
        if i >= own or not attends[i]:
            layers.append(Layer(state=states[i]))
            continue
        keys = 1 if latent else kv_heads[i]
        layers.append(Layer(keys, key_width, value_width, windows[i], states[i]))
    return tuple(layers)


def _unknown(what: str) -> SternaError:
    return SternaError(
        "not_a_model",
        f"The header does not say {what}.",
        "Take another file of this model.",
    )


def _number(data: Metadata, key: str, default: int = 0) -> int:
    value = data.integer(key, default)
    return value if value is not None and 0 <= value <= _MOST else default


def _each(data: Metadata, key: str, count: int) -> list[int]:
    """Return a number for each layer, from one for all or from a list; empty when there is none."""
    listed = data.integers(key)
    if listed:
        return (
            listed[:count]
            if len(listed) >= count and 0 <= min(listed) <= max(listed) <= _MOST
            else []
        )
    value = _number(data, key)
    return [value] * count if value else []


def _widths(data: Metadata, arch: str, heads: list[int]) -> tuple[int, int, bool]:
    """Return the width of a key and of a value, and whether they are one latent vector (MLA).

    Multi-head latent attention (DeepSeek-V2) in its absorbed form keeps the compressed vector and the
    rotated part once for all heads; the values are read from the same vector. Files from before that
    form lack `key_length_mla` and are run with keys and values of every head.
    """
    if data.integer(f"{arch}.attention.key_length_mla"):
        rank = _number(data, f"{arch}.attention.kv_lora_rank")
        return rank + _number(data, f"{arch}.rope.dimension_count", 64), 0, True
    most = max(heads, default=0)
    usual = _number(data, f"{arch}.embedding_length") // most if most else 0
    key = _number(data, f"{arch}.attention.key_length", usual)
    return key, _number(data, f"{arch}.attention.value_length", key), False


def _windows(data: Metadata, arch: str, count: int) -> list[int]:
    """Return the window of each layer, 0 where it sees all positions."""
    key = f"{arch}.attention.sliding_window"
    window = _number(data, key, _WINDOWS.get(arch, 0))
    pattern = data.get(f"{key}_pattern") if data.count(f"{key}_pattern") else None
    if pattern is not None and len(pattern) >= count:  # type: ignore[arg-type]
        return [window if pattern[i] else 0 for i in range(count)]  # type: ignore[index]
    period = _number(data, f"{key}_pattern", _PERIODS.get(arch, 0))
    # Without a pattern a window is only the word of the original model: it is run without.
    return [window if period > 1 and (i + 1) % period else 0 for i in range(count)]


def _states(data: Metadata, arch: str, count: int, kv_heads: list[int]) -> list[int]:
    """Return the float32 values of each layer's state, 0 where it has none.

    Mamba and gated delta nets keep the last inputs of a convolution and a state:
    (conv - 1) * (inner + 2 * groups * state) + state * inner. Short convolutions (LFM2) keep inputs
    alone; RWKV the last token and a matrix a head.
    """
    embedding = _number(data, f"{arch}.embedding_length")
    if arch in _RWKV:
        head = _number(data, f"{arch}.wkv.head_size")
        shift = _number(data, f"{arch}.token_shift_count", 2)
        return [(shift + head) * embedding] * count
    short = _number(data, f"{arch}.shortconv.l_cache")
    if short:
        size = (short - 1) * embedding
    else:
        inner, wide = (
            _number(data, f"{arch}.ssm.inner_size"),
            _number(data, f"{arch}.ssm.state_size"),
        )
        conv = max(_number(data, f"{arch}.ssm.conv_kernel"), 1)
        groups = _number(data, f"{arch}.ssm.group_count")
        size = (conv - 1) * (inner + 2 * groups * wide) + wide * inner
    if not size:
        return [0] * count
    period = _number(data, f"{arch}.full_attention_interval", _FULL_ATTENTION.get(arch, 0))
    if period:
        return [size if (i + 1) % period else 0 for i in range(count)]
    if arch in ("mamba", "mamba2", "falcon-h1"):
        return [size] * count
    # Hybrids list no key-value heads where a layer has a state; some of Nemotron's have neither.
    feed_forward = _each(data, f"{arch}.feed_forward_length", count) if "nemotron" in arch else []
    return [
        0 if (kv_heads and kv_heads[i]) or (feed_forward and feed_forward[i]) else size
        for i in range(count)
    ]
