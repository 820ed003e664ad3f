"""One model under two sets of names: modules of transformers and tensors of a GGUF file."""

import re

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32]

PARTS = {
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_qkv": "self_attn.qkv_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "attn_sub_norm": "self_attn.attn_sub_norm",
    "ffn_sub_norm": "mlp.ffn_sub_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
    "ffn_gate_inp": "mlp.gate",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
}
_FUSED = {"ffn_up": "mlp.gate_up_proj"}  # Phi 3
_POST_NORMS = {  # Gemma 2 and 3
    "post_attention_norm": "post_attention_layernorm",
    "ffn_norm": "pre_feedforward_layernorm",
    "post_ffw_norm": "post_feedforward_layernorm",
}
_WHOLE = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head"}
_LAYER = re.compile(r"blk\.(\d+)\.([a-z_]+)")
_MODULE = re.compile(r"model\.layers\.(\d+)\.([a-z_.]+)")

# The architecture of a GGUF file by the `model_type` of transformers.
ARCHITECTURES = {
    "llama": "llama",
    "mistral": "llama",
    "smollm3": "smollm3",
    "granite": "granite",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "qwen3_moe": "qwen3moe",
    "mixtral": "llama",
    "gemma": "gemma",
    "gemma2": "gemma2",
    "gemma3_text": "gemma3",
    "phi3": "phi3",
    "bitnet": "bitnet",
}
NORMS_LESS_ONE = ("gemma", "gemma2", "gemma3")  # transformers keeps their norms less one
_PAIRED = ("llama", "granite")  # rows of q and k as consecutive rotary pairs in the file


def parts_of(arch: str) -> dict[str, str]:
    """Return the names of the parts of a layer, file to transformers."""
    names = dict(PARTS)
    if arch in ("gemma2", "gemma3"):
        names |= _POST_NORMS
    if arch == "phi3":
        names |= _FUSED
    return names


def module_of(arch: str, tensor: str) -> str | None:
    """Return the path in transformers of a tensor without its ending, None where there is none."""
    if tensor in _WHOLE:
        return _WHOLE[tensor]
    match = _LAYER.fullmatch(tensor)
    part = parts_of(arch).get(match[2]) if match else None
    return f"model.layers.{match[1]}.{part}" if match and part else None


def tensor_of(arch: str, module: str) -> str | None:
    """Return the tensor, without its ending, that a module of transformers is in a file."""
    for tensor, path in _WHOLE.items():
        if module == path:
            return tensor
    match = _MODULE.fullmatch(module)
    backwards = {path: part for part, path in parts_of(arch).items()}
    part = backwards.get(match[2]) if match else None
    return f"blk.{match[1]}.{part}" if match and part else None


def paired(arch: str, tensor: str) -> bool:
    """Whether the rows of a tensor lie as consecutive rotary pairs."""
    return arch in _PAIRED and tensor.rpartition(".")[2] in ("attn_q", "attn_k")


def from_pairs(rows: Floats, heads: int) -> Floats:
    """Put the rows of each head from consecutive rotary pairs into two halves."""
    each = rows.shape[0] // heads
    split = rows.reshape(heads, each // 2, 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(rows.shape)


def to_pairs(rows: Floats, heads: int) -> Floats:
    """Undo `from_pairs`."""
    each = rows.shape[0] // heads
    split = rows.reshape(heads, 2, each // 2, *rows.shape[1:])
    return np.ascontiguousarray(split.swapaxes(1, 2)).reshape(rows.shape)
