"""A GGUF file as a model of transformers: its own dequantised weights, so that what is chatted with is what
is trained on.

The numbers come from the engine's reading of the header (`backend.inference.hyper`), so that both mean the
same model. Ternary matrices of one scale become frozen `TernaryLinear`s, all others float. Experts and their router stay as they
are: attention learns.
"""

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from accelerate import init_empty_weights
from torch import nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from backend.errors import SternaError
from backend.gguf import GGUFFile, open_gguf, require_model
from backend.inference.hyper import Experts, Hyper, read_hyper
from backend.inference.tokenizer.vocabulary import read_vocabulary
from backend.train.bases.ternary import TernaryLinear
from backend.train.shape import TERNARY_TYPES, TRAINED_MIXTURES
from backend.train.tensor_names import NORMS_LESS_ONE, Floats, from_pairs, module_of, paired
from ext.quants import dequantise, row_bytes

_GATES = {"silu": "silu", "relu2": "relu2", "gelu": "gelu_pytorch_tanh"}


def load_gguf(path: Path, dtype: torch.dtype) -> PreTrainedModel:
    """Return the model of a file with frozen weights of `dtype`. Raises SternaError."""
    with open_gguf(path) as file:
        require_model(file)
        hyper = read_hyper(file)
        config = AutoConfig.for_model(**_config(hyper, file))
        with init_empty_weights(include_buffers=False):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
        _fill(model, file, hyper, dtype)
    model.tie_weights()
    model.name_or_path = model.config.name_or_path = str(path)
    model.requires_grad_(False)
    return model


def _config(h: Hyper, file: GGUFFile) -> dict[str, Any]:
    """Return what the configuration of transformers says of the same model."""
    if h.key_width != h.value_width:
        raise SternaError(
            "untrainable",
            "Sterna does not train models whose keys and values differ in width.",
            "Take another model.",
        )
    words = read_vocabulary(file)
    config = {
        "model_type": {"gemma3": "gemma3_text"}.get(h.arch, h.arch.partition("-")[0]),
        "vocab_size": h.vocab,
        "hidden_size": h.embedding,
        "intermediate_size": h.feed_forward,
        "num_hidden_layers": h.layers,
        "num_attention_heads": h.heads,
        "num_key_value_heads": h.kv_heads,
        "head_dim": h.key_width,
        "max_position_embeddings": h.context,
        "rms_norm_eps": h.eps,
        "hidden_act": _GATES[h.gate],
        "tie_word_embeddings": "output.weight" not in file.tensors,
        "attention_bias": "blk.0.attn_output.bias" in file.tensors,
        "mlp_bias": "blk.0.ffn_down.bias" in file.tensors,
        "rope_parameters": _rope(h, file),
        "bos_token_id": words.bos,
        "eos_token_id": words.eos,
        "pad_token_id": None,
        "attn_implementation": "sdpa",
    }
    return config | _more(h) | (_mixture(h, h.experts) if h.experts else {})


def _mixture(h: Hyper, e: Experts) -> dict[str, Any]:
    """Return what the configuration says of experts. Raises SternaError where transformers has no such."""
    always = h.arch == "qwen3moe" or e.normalised  # Mixtral's weights sum to one always
    if h.arch not in TRAINED_MIXTURES or e.shared or e.scale != 1 or not e.everywhere or not always:
        raise SternaError(
            "untrainable",
            f"Sterna does not train this kind of mixture of experts ({h.arch}).",
            "Take Mixtral, Qwen3-MoE, or a dense model.",
        )
    said = {"num_experts_per_tok": e.used, "experts_implementation": "eager"}
    if h.arch == "llama":
        mixtral = {"model_type": "mixtral", "num_local_experts": e.count}
        return said | mixtral | {"intermediate_size": e.width, "sliding_window": h.window or None}
    return said | {
        "model_type": "qwen3_moe",
        "num_experts": e.count,
        "moe_intermediate_size": e.width,
        "norm_topk_prob": e.normalised,
        "decoder_sparse_step": 1,
        "mlp_only_layers": [],
    }


def _more(h: Hyper) -> dict[str, Any]:
    """Return what only some architectures say."""
    kinds = ["sliding_attention" if window else "full_attention" for window in h.windows]
    match h.arch:
        case "llama" if h.window:
            return {"model_type": "mistral", "sliding_window": h.window}
        case "qwen2" | "qwen3" if h.window:
            return {
                "use_sliding_window": True,
                "sliding_window": h.window,
                "layer_types": kinds,
            }
        case "phi3":
            return {
                "sliding_window": h.window or None,
                "original_max_position_embeddings": h.rope.original,
            }
        case "granite":
            return {
                "embedding_multiplier": h.embedding_scale,
                "attention_multiplier": h.attention_scale,
                "residual_multiplier": h.residual_scale,
                "logits_scaling": h.logit_scale,
            }
        case "gemma" | "gemma2" | "gemma3":
            return {
                "hidden_activation": "gelu_pytorch_tanh",
                "query_pre_attn_scalar": round(h.attention_scale**-2),
                "attn_logit_softcapping": h.attention_cap or None,
                "final_logit_softcapping": h.logit_cap or None,
                "sliding_window": h.window or 4096,
                "layer_types": kinds,
                # softcapping is no option of the fused attention
                "attn_implementation": "eager" if h.attention_cap else "sdpa",
            }
    return {}


def _rope(h: Hyper, file: GGUFFile) -> dict[str, Any]:
    rope: dict[str, Any] = {"rope_type": "default", "rope_theta": h.rope.base}
    if h.rope.width != h.key_width:
        rope["partial_rotary_factor"] = h.rope.width / h.key_width
    if h.rope.kind == "linear":
        rope |= {"rope_type": "linear", "factor": h.rope.factor}
    elif h.rope.kind == "yarn":
        rope |= {
            "rope_type": "yarn",
            "factor": h.rope.factor,
            "original_max_position_embeddings": h.rope.original,
            "attention_factor": h.rope.scale(h.context),
            "beta_fast": h.rope.beta_fast,
            "beta_slow": h.rope.beta_slow,
        }
    elif h.rope.kind == "longrope":
        rope |= {
            "rope_type": "longrope",
            "original_max_position_embeddings": h.rope.original,
            "short_factor": _vector(file, "rope_factors_short.weight").tolist(),
            "long_factor": _vector(file, "rope_factors_long.weight").tolist(),
        }
    if h.local_base:
        local = {"rope_type": "default", "rope_theta": h.local_base}
        return {"full_attention": rope, "sliding_attention": local}
    return rope


def _fill(model: PreTrainedModel, file: GGUFFile, h: Hyper, dtype: torch.dtype) -> None:
    """Put every tensor of the file in its place; none may be left over on either side."""
    for name in file.tensors:
        if name.startswith("rope_f"):
            continue
        stem, _, ending = name.rpartition(".")
        path = module_of(h.arch, stem)
        if stem.endswith("_exps") and ending == "weight":
            continue  # below
        if ending == "scale" and f"{stem}.weight" in file.tensors:
            continue  # taken with its weight
        if path is None or ending not in ("weight", "bias"):
            raise _unknown(name)
        try:
            module = model.get_submodule(path)
        except AttributeError:
            raise _unknown(name) from None
        values = _values(file, name)
        if paired(h.arch, stem):
            values = from_pairs(values, h.heads if stem.endswith("attn_q") else h.kv_heads)
        if h.arch in NORMS_LESS_ONE and "norm" in stem:
            values = values - np.float32(1)
        _put(model, path, module, ending, values, file, name, dtype)
    for layer in range(h.layers if h.experts else 0):
        _put_experts(model, layer, file, dtype)
    left = [name for name, p in model.named_parameters() if p.is_meta]
    tied = {"lm_head.weight"} if model.config.tie_word_embeddings else set()
    if set(left) - tied:
        raise SternaError(
            "corrupt", f"The file lacks what becomes {left[0]}.", "Download the model again."
        )
    _set_angles(model, file, h)


def _put(
    model: PreTrainedModel,
    path: str,
    module: nn.Module,
    ending: str,
    values: Floats,
    file: GGUFFile,
    name: str,
    dtype: torch.dtype,
) -> None:
    info = file.tensors[name]
    expected = getattr(module, ending, None)
    if expected is None or tuple(expected.shape) != values.shape:
        raise SternaError(
            "corrupt",
            f"Tensor {name} has the shape {list(values.shape)}, which this model has no place for.",
            "Download the model again or take another file.",
        )
    codes = _codes(values) if ending == "weight" and info.type_name in TERNARY_TYPES else None
    if codes is None:
        setattr(
            module, ending, nn.Parameter(torch.from_numpy(values).to(dtype), requires_grad=False)
        )
        return
    scale = name.removesuffix(".weight") + ".scale"
    gamma = codes[1] * (float(_vector(file, scale)[0]) if scale in file.tensors else 1.0)
    layer = TernaryLinear(torch.from_numpy(codes[0]), gamma)
    layer.compute_type = dtype
    model.set_submodule(path, layer)


def _put_experts(model: PreTrainedModel, layer: int, file: GGUFFile, dtype: torch.dtype) -> None:
    """Put the experts of a layer in their place: gate and up are one there."""
    gate, up, down = (
        torch.from_numpy(_values(file, f"blk.{layer}.ffn_{name}_exps.weight")).to(dtype)
        for name in ("gate", "up", "down")
    )
    module = model.get_submodule(f"model.layers.{layer}.mlp.experts")
    for name, value in (("gate_up_proj", torch.cat((gate, up), dim=1)), ("down_proj", down)):
        if getattr(module, name).shape != value.shape:
            raise SternaError(
                "corrupt",
                f"The experts of layer {layer} have the shape {list(value.shape)}, which does not fit.",
                "Download the model again or take another file.",
            )
        setattr(module, name, nn.Parameter(value, requires_grad=False))


def _codes(values: Floats) -> tuple[npt.NDArray[np.int8], float] | None:
    """Return codes and scale of a matrix of one scale, None where its blocks differ."""
    scale = np.abs(values).max()
    if scale == 0:
        return np.zeros(values.shape, np.int8), 0.0
    codes = np.rint(values / scale)
    return (codes.astype(np.int8), float(scale)) if np.array_equal(codes * scale, values) else None


def _values(file: GGUFFile, name: str) -> Floats:
    """Return a tensor as float32 [n], [rows, cols] or [experts, rows, cols], as the engine reads it."""
    if name not in file.tensors:
        raise SternaError("corrupt", f"The file lacks {name}.", "Download the model again.")
    info = file.tensors[name]
    cols = info.shape[0]
    rows = info.elements // cols if cols else 0
    if len(info.shape) > 3 or not rows or not info.supported or row_bytes(info.type, cols) == 0:
        raise SternaError(
            "unsupported_type",
            f"Tensor {name} has the type {info.type_name}, which Sterna cannot read as numbers.",
            "Take another quant of this model.",
        )
    values = dequantise(info.type, file.data(name), rows, cols)
    return values.reshape(info.shape[::-1])


def _vector(file: GGUFFile, name: str) -> Floats:
    return _values(file, name).reshape(-1)


def _set_angles(model: PreTrainedModel, file: GGUFFile, h: Hyper) -> None:
    """Llama 3 keeps its stretched angles as factors in the file: they hold as they stand."""
    if "rope_freqs.weight" not in file.tensors:
        return
    angles = torch.from_numpy(h.rope.angles(_vector(file, "rope_freqs.weight")))
    rotary: Any = model.get_submodule("model.rotary_emb")
    rotary.inv_freq = angles
    rotary.original_inv_freq = angles.clone()


def _unknown(name: str) -> SternaError:
    return SternaError(
        "untrainable",
        f"The file has a tensor {name} that Sterna does not know how to train with.",
        "Take another file of this model, or its Hugging Face folder.",
    )
