"""The numbers of a model: from config.json to the keys of a GGUF header."""

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.gguf.converting.documents import Config, bad_checkpoint
from backend.gguf.converting.families import Family

Value = bool | int | float | str | list[bool]
_PERIODS = ("sliding_window_pattern", "_sliding_window_pattern")


def hyper_parameters(family: Family, config: Config) -> dict[str, Value]:
    """Return the keys `{arch}.…` with their values; raises SternaError."""
    found: dict[str, Value] = {}
    for part in (_sizes, _attention, _rope, _windows, _experts, _scales):
        found |= dict(part(family, config))
    return {f"{family.arch}.{key}": value for key, value in found.items()}


def head_width(config: Config) -> int:
    """Return the values of a head."""
    heads = config.integer("num_attention_heads", least=1)
    width = config.integer("head_dim", config.integer("hidden_size", least=1) // heads)
    if not width or width % 2:
        raise bad_checkpoint(f"its heads have {width} values")
    return width


def _sizes(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    yield "vocab_size", config.integer("vocab_size", least=1)
    yield "context_length", config.integer("max_position_embeddings", 2048)
    yield "embedding_length", config.integer("hidden_size", least=1)
    yield "block_count", config.integer("num_hidden_layers", least=1)
    yield "feed_forward_length", config.integer("intermediate_size", least=1)
    yield "attention.layer_norm_rms_epsilon", config.number("rms_norm_eps", 1e-6)
    act = config.string("hidden_activation") or config.string("hidden_act") or family.gate
    if act != family.gate:
        yield "hidden_act", act


def _attention(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    heads = config.integer("num_attention_heads", least=1)
    yield "attention.head_count", heads
    yield "attention.head_count_kv", config.integer("num_key_value_heads", heads, least=1)
    yield "attention.key_length", head_width(config)
    yield "attention.value_length", head_width(config)


def rope_config(config: Config) -> Config:
    """Return what the config says of the RoPE of layers that see all positions.

    New configs have `rope_parameters`, for each kind of layer where they differ; older ones
    `rope_theta` and `rope_scaling`.
    """
    said = config.part("rope_parameters")
    if not said.values:
        said = config.part("rope_scaling")
    if said.has("full_attention"):
        said = said.part("full_attention")
    shared = {
        key: config.values[key]
        for key in ("rope_theta", "partial_rotary_factor", "original_max_position_embeddings")
        if config.has(key)
    }
    return Config(shared | dict(said.values))


def rope_kind(rope: Config) -> str:
    """Return how it is stretched: default, linear, llama3, yarn, longrope."""
    kind = rope.string("rope_type") or rope.string("type") or "default"
    return "longrope" if kind == "su" else kind


def rope_width(family: Family, config: Config) -> int:
    """Return the values of a head that are rotated."""
    share = rope_config(config).number("partial_rotary_factor", 1.0) if family.partial else 1.0
    return round(head_width(config) * share)


def _rope(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    rope = rope_config(config)
    kind, factor = rope_kind(rope), rope.number("factor", 1.0)
    if not rope.flag("truncate", True):
        kind = f"{kind}, not truncated"  # a GGUF header has no word for it
    yield "rope.dimension_count", rope_width(family, config)
    yield "rope.freq_base", rope.number("rope_theta", 10000.0)
    if kind == "linear":
        yield "rope.scaling.type", "linear"
        yield "rope.scaling.factor", factor
    elif kind == "yarn":
        yield "rope.scaling.type", "yarn"
        yield "rope.scaling.factor", factor
        yield "rope.scaling.original_context_length", _original(config, rope)
        wanted, usual = _yarn_attention(rope, factor), _yarn_attention(Config({}), factor)
        if wanted != usual:  # the file's factor goes on top of the formula's
            yield "rope.scaling.attn_factor", wanted / usual
        for beta in ("beta_fast", "beta_slow"):
            if rope.has(beta):
                yield f"rope.scaling.yarn_{beta}", rope.number(beta)
    elif kind == "longrope":
        original, longest = _original(config, rope), config.integer("max_position_embeddings")
        yield "rope.scaling.original_context_length", original
        stretch = rope.number("factor", longest / max(original, 1))
        usual = (
            math.sqrt(1 + math.log(stretch) / math.log(original)) if stretch > 1 < original else 1.0
        )
        yield "rope.scaling.attn_factor", rope.number("attention_factor", usual)
    elif kind not in ("default", "llama3", "dynamic"):  # dynamic: only beyond the trained context
        raise SternaError(
            "unsupported_arch",
            f"Its RoPE is stretched in the manner {kind!r}, which Sterna does not know.",
            "llama.cpp's convert_hf_to_gguf.py may know it.",
        )
    local = config.part("rope_parameters").part("sliding_attention")
    local_base = local.number("rope_theta", config.number("rope_local_base_freq", 0.0))
    if local_base:
        yield "rope.freq_base_swa", local_base


def _yarn_attention(rope: Config, factor: float) -> float:
    """Return what sine and cosine are multiplied by (YaRN, Peng et al. 2023), or what the config says."""

    def size(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1 if factor > 1 else 1.0

    if rope.has("attention_factor"):
        return rope.number("attention_factor")
    whole, part = rope.number("mscale", 0.0), rope.number("mscale_all_dim", 0.0)
    return size(whole) / size(part) if whole and part else size(1.0)


def _original(config: Config, rope: Config) -> int:
    return rope.integer(
        "original_max_position_embeddings", config.integer("max_position_embeddings")
    )


def rope_factors(family: Family, config: Config) -> dict[str, npt.NDArray[np.float32]]:
    """Return tensors of factors that the angles are divided by: Llama 3's, or LongRoPE's two."""
    rope, width = rope_config(config), rope_width(family, config)
    kind = rope_kind(rope)
    if kind == "llama3":
        return {"rope_freqs.weight": _llama3(rope, width)}
    if kind != "longrope":
        return {}
    found = {}
    for which in ("long", "short"):
        factors = rope.numbers(f"{which}_factor")
        if len(factors) != width // 2 or min(factors, default=0) <= 0:
            raise bad_checkpoint(f"its RoPE has {len(factors)} {which} factors")
        found[f"rope_factors_{which}.weight"] = np.array(factors, np.float32)
    return found


def _llama3(rope: Config, width: int) -> npt.NDArray[np.float32]:
    """Llama 3.1: slow pairs are divided by the factor, fast ones are not, and between it is blended."""
    factor, original = (
        rope.number("factor", 8.0),
        rope.number("original_max_position_embeddings", 8192),
    )
    low, high = rope.number("low_freq_factor", 1.0), rope.number("high_freq_factor", 4.0)
    if not (factor > 0 and original > 0 and 0 < low < high):
        raise bad_checkpoint("the numbers of its RoPE make no sense")
    base = rope.number("rope_theta", 10000.0)
    length = 2 * np.pi * base ** (np.arange(0, width, 2) / width)  # positions of a full turn
    smooth = np.clip((original / length - low) / (high - low), 0, 1)
    blended = 1 / ((1 - smooth) / factor + smooth)
    return blended.astype(np.float32)


def _windows(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    window = config.integer("sliding_window", 0)
    if not window or not config.flag("use_sliding_window", True):
        return
    slides = _sliding(family, config)
    if slides and not any(slides):
        return
    yield "attention.sliding_window", window
    if slides and not all(slides):
        yield "attention.sliding_window_pattern", slides
    period = next((k for k in _PERIODS if config.has(k)), None)
    if not slides and period:
        yield "attention.sliding_window_pattern", config.integer(period)


def _sliding(family: Family, config: Config) -> list[bool]:
    """Return which layers have the window, where the config says it; older ones of Qwen in other words."""
    kinds, count = config.strings("layer_types"), config.integer("num_hidden_layers")
    most = config.integer("max_window_layers", 28)
    if kinds or family.arch not in ("qwen2", "qwen3", "qwen2moe"):
        return [kind == "sliding_attention" for kind in kinds]
    if family.arch == "qwen2moe":
        return [i % 2 == 0 and i < most for i in range(count)]
    return [i >= most for i in range(count)]


def _experts(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    count = config.integer("num_local_experts", config.integer("num_experts", 0))
    if not count:
        return
    yield "expert_count", count
    yield "expert_used_count", config.integer("num_experts_per_tok", 2)
    if config.has("moe_intermediate_size"):
        yield "expert_feed_forward_length", config.integer("moe_intermediate_size")
    shared = config.integer("shared_expert_intermediate_size", 0)
    if shared := config.integer("shared_intermediate_size", shared):
        yield "expert_shared_feed_forward_length", shared
    if config.has("norm_topk_prob"):
        yield "expert_weights_norm", config.flag("norm_topk_prob")


def _scales(family: Family, config: Config) -> Iterator[tuple[str, Value]]:
    for key, name in (
        ("attn_logit_softcapping", "attn_logit_softcapping"),
        ("final_logit_softcapping", "final_logit_softcapping"),
        ("embedding_multiplier", "embedding_scale"),
        ("residual_multiplier", "residual_scale"),
        ("attention_multiplier", "attention.scale"),
        ("logits_scaling", "logit_scale"),
    ):
        # Gemma 3 has the key of Gemma 2's cap of scores, and does not use it.
        if config.has(key) and (family.arch, key) != ("gemma3", "attn_logit_softcapping"):
            yield name, config.number(key)
    if config.has("query_pre_attn_scalar"):
        scalar = config.number("query_pre_attn_scalar")
        if scalar <= 0:
            raise bad_checkpoint(f"query_pre_attn_scalar is {scalar}")
        yield "attention.scale", scalar**-0.5
