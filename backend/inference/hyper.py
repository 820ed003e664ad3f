"""The numbers of a model, read from its header and checked before anything divides by them."""

import math
import re
from dataclasses import dataclass

from backend.errors import SternaError
from backend.inference.architectures import ARCHITECTURES, Architecture
from backend.inference.rope import Rope, read_rope
from backend.inference.source import Source

_MOST_EXPERTS = 4096
_FLOATS = (0, 1, 30)  # F32, F16, BF16
_LIMIT = 1 << 20  # greatest width, count or vocabulary believed
ENDPOINTS = "An endpoint such as Ollama or llama-server may serve it."


@dataclass(frozen=True, slots=True)
class Experts:
    """A mixture of experts: `used` of `count` feed-forwards of `width` for each token.

    `shared`: width of the one that every token passes, 0: none. `normalised`: the weights of the chosen
    ones sum to one; `scale` multiplies them. `floats`: the weights are of a float type. `everywhere`: no
    layer has a plain feed-forward.
    """

    count: int
    used: int
    width: int
    shared: int
    normalised: bool
    scale: float
    floats: bool
    everywhere: bool


@dataclass(frozen=True, slots=True)
class Hyper:
    """Shape of a decoder-only transformer. Widths in values.

    `windows`: how many positions each layer sees, 0: all. Caps of zero are none; `logit_scale` divides.
    """

    arch: str
    traits: Architecture
    layers: int
    embedding: int
    feed_forward: int
    heads: int
    kv_heads: int
    key_width: int
    value_width: int
    vocab: int
    context: int
    eps: float
    gate: str
    rope: Rope
    local_base: float
    windows: tuple[int, ...]
    experts: Experts | None
    embedding_scale: float
    attention_scale: float
    residual_scale: float
    logit_scale: float
    attention_cap: float
    logit_cap: float

    @property
    def window(self) -> int:
        """Positions that the layers with a window see; 0: there are none."""
        return max(self.windows)


def _positive(source: Source, key: str, default: int | None = None) -> int:
    each = source.metadata.integers(key)
    if len(set(each)) > 1:
        raise SternaError(
            "unsupported_arch",
            f"The layers of this model differ in {key}, which Sterna's engine does not run yet.",
            ENDPOINTS,
        )
    value = source.metadata.integer(key, default)
    if value is None or not 0 < value <= _LIMIT:
        said = "is missing" if value is None else f"is {value}"
        raise SternaError(
            "corrupt",
            f"{key} {said} in this file.",
            "Download the model again or take another file.",
        )
    return value


def _factor(source: Source, key: str, default: float) -> float:
    """Return a factor that something is multiplied with; 0 stands for its absence."""
    value = source.metadata.number(key, default) or default
    if not math.isfinite(value):
        raise SternaError("corrupt", f"{key} is {value} in this file.", "Download the model again.")
    return value


def _traits(source: Source) -> tuple[str, Architecture]:
    arch = source.metadata.string("general.architecture") or ""
    traits = ARCHITECTURES.get(arch)
    if traits is None:
        raise SternaError(
            "unsupported_arch",
            f"Sterna's engine does not run the architecture {arch or '(none)'} yet.",
            f"It runs {', '.join(ARCHITECTURES)}; an endpoint such as Ollama or llama-server may serve this one.",
        )
    return arch, traits


def _gate(source: Source, arch: str, traits: Architecture, shape: tuple[int, int, int]) -> str:
    """Return the activation of the feed-forward: the file's word, or what is known of the model."""
    data = source.metadata
    said = data.string(f"{arch}.hidden_activation") or data.string(f"{arch}.hidden_act")
    if said in ("relu2", "relu_sqr", "relu_squared"):
        return "relu2"
    if said in ("silu", "swish"):
        return "silu"
    if said in ("gelu", "gelu_tanh", "gelu_pytorch_tanh"):
        return "gelu"
    if said is not None:
        raise SternaError(
            "unsupported_arch",
            f"The file asks for the activation {said}, which Sterna's engine lacks.",
            ENDPOINTS,
        )
    # BitNet b1.58 2B4T was trained with ReLU squared; files of it under the older name do not say so.
    return "relu2" if arch == "bitnet" and shape == (30, 2560, 6912) else traits.gate


def _windows(source: Source, arch: str, traits: Architecture, layers: int) -> tuple[int, ...]:
    """Return how many positions each layer sees; 0: all."""
    data, key = source.metadata, f"{arch}.attention.sliding_window"
    window = data.integer(key, traits.window) or 0
    if window < 0 or window > 1 << 30:
        raise SternaError("corrupt", f"{key} is {window} in this file.", "Download it again.")
    listed = data.get(f"{key}_pattern") if data.count(f"{key}_pattern") else None
    if listed is not None and len(listed) >= layers:  # type: ignore[arg-type]
        return tuple(window if has else 0 for has in listed[:layers])  # type: ignore[index]
    period = data.integer(f"{key}_pattern", traits.full_period) or 0
    if period < 1:
        return (window,) * layers
    return tuple(0 if (layer + 1) % period == 0 else window for layer in range(layers))


def is_expert(name: str) -> bool:
    """Return whether a tensor belongs to one of a mixture of experts: of all in one, or as older files have it."""
    return bool(re.fullmatch(r"blk\.\d+\.ffn_(gate|up|down)(_exps|\.\d+)\.weight", name))


def _experts(
    source: Source, arch: str, traits: Architecture, layers: int, feed_forward: int
) -> Experts | None:
    count = source.metadata.integer(f"{arch}.expert_count", 0)
    if not count:
        return None
    count = _positive(source, f"{arch}.expert_count")
    used = _positive(source, f"{arch}.expert_used_count")
    if used > count or count > _MOST_EXPERTS:
        raise SternaError(
            "corrupt", f"{used} of {count} experts cannot be used.", "Download the model again."
        )
    if source.metadata.integer(f"{arch}.expert_gating_func", 1) != 1:
        raise SternaError(
            "unsupported_arch",
            "The experts of this model are chosen in another way than by softmax, which Sterna's engine lacks.",
            ENDPOINTS,
        )
    shared_key = f"{arch}.expert_shared_feed_forward_length"
    shared = source.metadata.integer(shared_key, 0) or 0
    if not shared and "blk.0.ffn_gate_shexp.weight" in source.tensors:
        shared = feed_forward  # as older files of qwen2moe mean it
    usual = traits.norm_experts
    return Experts(
        count=count,
        used=used,
        width=_positive(source, f"{arch}.expert_feed_forward_length", feed_forward),
        shared=_positive(source, shared_key, shared) if shared else 0,
        normalised=bool(source.metadata.flag(f"{arch}.expert_weights_norm", usual)),
        scale=_factor(source, f"{arch}.expert_weights_scale", 1.0),
        floats=any(
            tensor.type in _FLOATS for name, tensor in source.tensors.items() if is_expert(name)
        ),
        everywhere=all(f"blk.{i}.ffn_gate_inp.weight" in source.tensors for i in range(layers)),
    )


def _heads(source: Source, arch: str) -> tuple[int, int]:
    heads = _positive(source, f"{arch}.attention.head_count")
    kv_heads = _positive(source, f"{arch}.attention.head_count_kv", heads)
    if heads % kv_heads or heads // kv_heads > 64:
        raise SternaError(
            "corrupt",
            f"{heads} heads cannot share {kv_heads} key-value heads.",
            "Download the model again.",
        )
    return heads, kv_heads


def _vocabulary(source: Source) -> int:
    table = source.tensors.get("token_embd.weight")
    if table is None or len(table.shape) != 2:
        raise SternaError(
            "not_a_model",
            "The file has no table of token embeddings: it is not a whole language model.",
            "Adapters, projectors and vocabularies are used with a model, not by themselves.",
        )
    return table.shape[1]


def read_hyper(source: Source) -> Hyper:
    """Read and check the shape of a model, of a file or of its header alone; raises SternaError."""
    arch, traits = _traits(source)
    heads, kv_heads = _heads(source, arch)
    embedding = _positive(source, f"{arch}.embedding_length")
    key_width = _positive(source, f"{arch}.attention.key_length", max(embedding // heads, 1))
    vocab = _vocabulary(source)
    layers = _positive(source, f"{arch}.block_count")
    feed_forward = _positive(source, f"{arch}.feed_forward_length")
    wide = traits.wide_scale_layers == layers
    scale = (embedding // heads if wide else key_width) ** -0.5
    return Hyper(
        arch=arch,
        traits=traits,
        layers=layers,
        embedding=embedding,
        feed_forward=feed_forward,
        heads=heads,
        kv_heads=kv_heads,
        key_width=key_width,
        value_width=_positive(source, f"{arch}.attention.value_length", key_width),
        vocab=vocab,
        context=_positive(source, f"{arch}.context_length", 2048),
        eps=_factor(source, f"{arch}.attention.layer_norm_rms_epsilon", 1e-5),
        gate=_gate(source, arch, traits, (layers, embedding, feed_forward)),
        rope=read_rope(source, arch, key_width),
        local_base=_factor(source, f"{arch}.rope.freq_base_swa", traits.local_base),
        windows=_windows(source, arch, traits, layers),
        experts=_experts(source, arch, traits, layers, feed_forward),
        embedding_scale=embedding**0.5
        if traits.root_embeddings
        else _factor(source, f"{arch}.embedding_scale", 1.0),
        attention_scale=_factor(source, f"{arch}.attention.scale", scale),
        residual_scale=_factor(source, f"{arch}.residual_scale", 1.0),
        logit_scale=_factor(source, f"{arch}.logit_scale", 1.0),
        attention_cap=_factor(source, f"{arch}.attn_logit_softcapping", 0.0),
        logit_cap=_factor(source, f"{arch}.final_logit_softcapping", 0.0),
    )
