"""Tiny random models of every family: transformers' own implementation, and a GGUF of the same weights.

The names and the conventions of the files are llama.cpp's: `llama` and `granite` keep the rows of q and k
in the order of consecutive rotary pairs, Gemma's norms are stored as what they multiply with (one more
than transformers' weight), gate and up of experts lie apart.
"""

from dataclasses import dataclass, field
from typing import Any

import gguf
import numpy as np
from gguf_writing import Raw, write_gguf
from oracle_models import DRAWN, drawn_blocks, interleave_pairs
from ternary import TERNARY, ternary_bytes
from tiny_vocabularies import byte_level

BASE = {
    "vocab_size": 301, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
    "rms_norm_eps": 1e-5, "tie_word_embeddings": False, "pad_token_id": None, "bos_token_id": 0,
    "eos_token_id": 1, "attn_implementation": "eager",
}  # fmt: skip


@dataclass(frozen=True)
class Family:
    """An architecture: the transformers class, what its config says, and how a header says the same."""

    arch: str
    model: str
    config: dict[str, Any] = field(default_factory=dict)
    header: dict[str, Any] = field(default_factory=dict)
    interleaved: bool = False
    norms_plus: float = 0.0
    names: dict[str, str] = field(default_factory=dict)


_NAMES = {
    "self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
    "self_attn.qkv_proj": "attn_qkv", "self_attn.o_proj": "attn_output",
    "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm",
    "self_attn.attn_sub_norm": "attn_sub_norm", "mlp.ffn_sub_norm": "ffn_sub_norm",
    "mlp.gate_proj": "ffn_gate", "mlp.up_proj": "ffn_up", "mlp.gate_up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down", "mlp.gate": "ffn_gate_inp",
    "mlp.shared_expert.gate_proj": "ffn_gate_shexp", "mlp.shared_expert.up_proj": "ffn_up_shexp",
    "mlp.shared_expert.down_proj": "ffn_down_shexp", "mlp.shared_expert_gate": "ffn_gate_inp_shexp",
    "block_sparse_moe.router": "ffn_gate_inp",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm",
}  # fmt: skip
_GEMMA_NAMES = {
    "post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
    "post_feedforward_layernorm": "post_ffw_norm",
}  # fmt: skip
_EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}
_MANY_EXPERTS = {
    "num_experts": 7, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
}  # fmt: skip
_EXPERTS_SAID = {"expert_count": 4, "expert_used_count": 2}
_MANY_SAID = {"expert_count": 7, "expert_used_count": 3, "expert_feed_forward_length": 32}
_GEMMA = {"tie_word_embeddings": True, "head_dim": 24, "hidden_activation": "gelu_pytorch_tanh"}

FAMILIES = {
    "llama": Family("llama", "Llama", interleaved=True),
    "llama with biases": Family(
        "llama", "Llama", {"attention_bias": True, "mlp_bias": True}, interleaved=True
    ),
    "mistral": Family("llama", "Mistral", {"sliding_window": None}, interleaved=True),
    "mistral with a window": Family(
        "llama", "Mistral", {"sliding_window": 24, "num_hidden_layers": 3},
        {"attention.sliding_window": 24}, interleaved=True,
    ),
    "llama with yarn": Family(
        "llama", "Llama",
        {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                             "original_max_position_embeddings": 128}},
        {"rope.scaling.type": "yarn", "rope.scaling.factor": 4.0,
         "rope.scaling.original_context_length": 128}, interleaved=True,
    ),
    "llama with linear scaling": Family(
        "llama", "Llama",
        {"rope_parameters": {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}},
        {"rope.scaling.type": "linear", "rope.scaling.factor": 4.0}, interleaved=True,
    ),
    "qwen2": Family("qwen2", "Qwen2", {"tie_word_embeddings": True}),
    "qwen3": Family("qwen3", "Qwen3", {"head_dim": 32}),
    "gemma": Family("gemma", "Gemma", _GEMMA, norms_plus=1),
    "gemma2": Family(
        "gemma2", "Gemma2",
        {**_GEMMA, "sliding_window": 24, "query_pre_attn_scalar": 24, "num_hidden_layers": 4,
         "attn_logit_softcapping": 3.0, "final_logit_softcapping": 20.0},
        {"attention.sliding_window": 24, "attn_logit_softcapping": 3.0,
         "final_logit_softcapping": 20.0},
        norms_plus=1, names=_GEMMA_NAMES,
    ),
    "gemma3": Family(
        "gemma3", "Gemma3",
        {**_GEMMA, "sliding_window": 20, "query_pre_attn_scalar": 24, "num_hidden_layers": 7,
         "rope_parameters": {
             "full_attention": {"rope_type": "linear", "factor": 8.0, "rope_theta": 1e6},
             "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0}}},
        {"attention.sliding_window": 20, "rope.freq_base": 1e6, "rope.scaling.type": "linear",
         "rope.scaling.factor": 8.0},
        norms_plus=1, names=_GEMMA_NAMES,
    ),
    "phi3": Family("phi3", "Phi3", {"rope_parameters": {
        "rope_type": "default", "rope_theta": 10000.0, "partial_rotary_factor": 0.75}},
        {"rope.dimension_count": 12}),
    "phi3 with longrope": Family("phi3", "Phi3", {
        "original_max_position_embeddings": 60, "sliding_window": 50,
        "rope_parameters": {
            "rope_type": "longrope", "rope_theta": 10000.0,
            "original_max_position_embeddings": 60,
            "short_factor": [1 + 0.1 * i for i in range(8)],
            "long_factor": [1.0 + i for i in range(8)]}},
        {"rope.scaling.original_context_length": 60, "attention.sliding_window": 50}),
    "granite": Family(
        "granite", "Granite",
        {"embedding_multiplier": 6.0, "attention_multiplier": 0.4, "residual_multiplier": 0.3,
         "logits_scaling": 8.0, "attention_bias": True},
        {"embedding_scale": 6.0, "attention.scale": 0.4, "residual_scale": 0.3, "logit_scale": 8.0},
        interleaved=True,
    ),
    "mixtral": Family(
        "llama", "Mixtral", _EXPERTS, {**_EXPERTS_SAID, "rope.freq_base": 1e6}, interleaved=True
    ),
    "qwen2moe": Family(
        "qwen2moe", "Qwen2Moe", {**_MANY_EXPERTS, "shared_expert_intermediate_size": 160},
        {**_MANY_SAID, "expert_shared_feed_forward_length": 160},
    ),
    "qwen3moe": Family(
        "qwen3moe", "Qwen3Moe", {**_MANY_EXPERTS, "head_dim": 32, "norm_topk_prob": True},
        _MANY_SAID,
    ),
    "granitemoe": Family(
        "granitemoe", "GraniteMoe",
        {**_EXPERTS, "embedding_multiplier": 6.0, "attention_multiplier": 0.4,
         "residual_multiplier": 0.3, "logits_scaling": 8.0},
        {**_EXPERTS_SAID, "embedding_scale": 6.0, "attention.scale": 0.4, "residual_scale": 0.3,
         "logit_scale": 8.0}, interleaved=True,
    ),
}  # fmt: skip


MIXTURES = ("mixtral", "qwen2moe", "qwen3moe", "granitemoe")  # of experts


@dataclass
class Made:
    """A model as a file and in transformers; `weights` by GGUF name, float32, as the file means them."""

    path: Any
    model: Any
    config: Any
    family: Family

    def logits(self, prompts):
        """Return transformers' logits after each token of each prompt, float32 [tokens, vocabulary]."""
        import torch

        with torch.no_grad():
            return [self.model(torch.tensor([ids])).logits[0].numpy() for ids in prompts]


def make(path, family, *, seed=1, kind="F32", table="F32", header=None, **config):
    """Write a random model of a family with its matrices in one type, its tables in another."""
    import torch
    import transformers

    numbers = BASE | family.config | config
    names = {"Gemma3": "Gemma3Text"}
    config_class = getattr(transformers, names.get(family.model, family.model) + "Config")
    torch.manual_seed(seed)
    built = config_class(**numbers)
    model = getattr(transformers, family.model + "ForCausalLM")(built).float().eval()
    rng = np.random.default_rng(seed)
    stored = {}
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if name == "lm_head.weight" and built.tie_word_embeddings:
                continue
            drawn = _draw(rng, name, tuple(parameter.shape), family)
            for tensor, value, put in _tensors(name, drawn, family, built):
                stored[tensor], meant = _store(value, kind if "blk." in tensor else table)
                put(meant)
            parameter.copy_(torch.from_numpy(drawn))
    write_gguf(path, _header(family, built, header or {}), stored | _factors(family))
    return Made(path, model, built, family)


def _draw(rng, name, shape, family):
    """Random values that make each part of the model count."""
    if "norm" in name:
        return (rng.uniform(0.5, 1.5, shape) - family.norms_plus).astype(np.float32)
    if name.endswith("bias"):
        return (0.3 * rng.standard_normal(shape)).astype(np.float32)
    if name == "model.embed_tokens.weight":
        return rng.standard_normal(shape).astype(np.float32)
    spread = 3.0 if "mlp.gate.weight" in name or "router" in name else 1.0
    return (spread * rng.standard_normal(shape) * shape[-1] ** -0.5).astype(np.float32)


def _tensors(name, drawn, family, config):
    """Yield (name, value, what takes the stored value back) of each tensor of a parameter."""

    def back(value, view):
        view[...] = value

    whole = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
    stem, _, ending = name.rpartition(".")
    if stem in whole:
        plus = family.norms_plus if stem == "model.norm" else 0
        yield f"{whole[stem]}.{ending}", drawn + np.float32(plus), lambda v: back(v - plus, drawn)
        return
    _, _, layer, part = name.split(".", 3)
    p = f"blk.{layer}."
    if ".experts." in part:
        if part.endswith("gate_up_proj"):
            half = drawn.shape[1] // 2
            for tensor, view in (("gate", drawn[:, :half]), ("up", drawn[:, half:])):
                yield p + f"ffn_{tensor}_exps.weight", view.copy(), lambda v, w=view: back(v, w)
        else:
            yield p + "ffn_down_exps.weight", drawn, lambda v: back(v, drawn)
        return
    stem, _, ending = part.rpartition(".")
    tensor = (_NAMES | family.names)[stem]
    if family.interleaved and tensor in ("attn_q", "attn_k"):
        heads = config.num_attention_heads if tensor == "attn_q" else config.num_key_value_heads
        flat = drawn.reshape(len(drawn), -1)
        order = interleave_pairs(np.arange(len(drawn))[:, None], heads)[:, 0]
        stored = flat[order].reshape(drawn.shape)
        yield f"{p}{tensor}.{ending}", stored, lambda v: drawn.__setitem__(order, v)
    elif "norm" in tensor:
        plus = np.float32(family.norms_plus)
        yield f"{p}{tensor}.{ending}", drawn + plus, lambda v: back(v - plus, drawn)
    else:
        yield f"{p}{tensor}.{ending}", drawn, lambda v: back(v, drawn)


def _store(value, kind):
    """Return (what to write, the float32 values that it means)."""
    if value.ndim == 1 or kind == "F32" or len(value) == 1:
        return value, value
    if kind in TERNARY:
        data, meant = ternary_bytes(value, TERNARY[kind])
        return Raw(TERNARY[kind], value.shape, data), meant
    type_ = gguf.GGMLQuantizationType[kind]
    if kind in DRAWN:  # what nobody here can quantise: random blocks of the same spread
        data = drawn_blocks(value, kind, seed=value.size)
    else:
        data = gguf.quants.quantize(value, type_)
    meant = gguf.quants.dequantize(data, type_).reshape(value.shape).astype(np.float32)
    return Raw(int(type_), value.shape, data.tobytes()), meant


def _factors(family):
    rope = family.config.get("rope_parameters", {})
    return {
        f"rope_factors_{which}.weight": np.array(rope[f"{which}_factor"], np.float32)
        for which in ("long", "short")
        if f"{which}_factor" in rope
    }


def _header(family, config, more):
    head = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    said = {
        "context_length": config.max_position_embeddings,
        "embedding_length": config.hidden_size,
        "block_count": config.num_hidden_layers,
        "feed_forward_length": config.intermediate_size,
        "attention.head_count": config.num_attention_heads,
        "attention.head_count_kv": config.num_key_value_heads,
        "attention.key_length": head,
        "attention.value_length": head,
        "attention.layer_norm_rms_epsilon": config.rms_norm_eps,
        "rope.dimension_count": head,
        "rope.freq_base": 10000.0,
        **family.header,
        **more,
    }
    return {
        "general.architecture": family.arch,
        **{f"{family.arch}.{key}": value for key, value in said.items()},
        **byte_level(config.vocab_size),
    }
