"""Which checkpoints can be converted: one line each for what their files keep otherwise.

Names of tensors come from the gguf package; conventions are those of llama.cpp's converter.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from backend.errors import SternaError
from backend.gguf.converting.documents import Config, read_json


@dataclass(frozen=True, slots=True)
class Family:
    """A family of checkpoints.

    `arch`: its name in GGUF. `pairs`: queries and keys are stored with rotary pairs side by side.
    `plus_one`: norms are kept as one plus their weight. `gate`: the activation that the architecture
    means when a file does not name one. `ternary`: linear layers are BitNet's whatever the config says.
    `partial`: part of a head may be unrotated; other classes take no notice when their config says so.
    `assumed`: what transformers' class takes for granted where its config says nothing.
    """

    arch: str
    pairs: bool = False
    plus_one: bool = False
    gate: str = "silu"
    ternary: bool = False
    partial: bool = False
    assumed: Mapping[str, Any] = field(default_factory=dict)


_GELU = "gelu_pytorch_tanh"
_TIED = {"tie_word_embeddings": True}
_QWEN = {"use_sliding_window": False, "norm_topk_prob": False}
# Configs of models with eyes leave out of `text_config` what is usual.
_GEMMA3 = Family("gemma3", plus_one=True, gate=_GELU, assumed={
    **_TIED, "vocab_size": 262_208, "hidden_size": 2304, "intermediate_size": 9216,
    "num_hidden_layers": 26, "num_attention_heads": 8, "num_key_value_heads": 4, "head_dim": 256,
    "max_position_embeddings": 131_072, "query_pre_attn_scalar": 256, "sliding_window": 4096,
    "rope_theta": 1e6, "rope_local_base_freq": 1e4})  # fmt: skip
_GRANITE_MOE = Family("granitemoe", pairs=True)

# By the class that config.json names in `architectures`.
FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": Family("llama", pairs=True),
    "MistralForCausalLM": Family("llama", pairs=True),
    "MixtralForCausalLM": Family("llama", pairs=True),
    "GraniteForCausalLM": Family("granite", pairs=True),
    "GraniteMoeForCausalLM": _GRANITE_MOE,
    "GraniteMoeSharedForCausalLM": _GRANITE_MOE,
    "Qwen2ForCausalLM": Family("qwen2", assumed=_QWEN),
    "Qwen2MoeForCausalLM": Family("qwen2moe", assumed=_QWEN),
    "Qwen3ForCausalLM": Family("qwen3", assumed=_QWEN),
    "Qwen3MoeForCausalLM": Family("qwen3moe", assumed=_QWEN),
    "GemmaForCausalLM": Family("gemma", plus_one=True, gate=_GELU, assumed=_TIED),
    "Gemma2ForCausalLM": Family("gemma2", plus_one=True, gate=_GELU, assumed=_TIED),
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "Phi3ForCausalLM": Family("phi3", partial=True),
    "BitNetForCausalLM": Family("bitnet", ternary=True),
    "BitnetForCausalLM": Family("bitnet", ternary=True),
}


def read_config(folder: Path) -> tuple[Family, Config]:
    """Return the family of a checkpoint and the config of its language model; raises SternaError."""
    if not folder.is_dir():
        raise SternaError(
            "not_found",
            f"There is no folder {folder}.",
            "Give the folder of a checkpoint, with its config.json and .safetensors files.",
        )
    config = Config(read_json(folder / "config.json"))
    named = config.strings("architectures")
    family = next((FAMILIES[name] for name in named if name in FAMILIES), None)
    if family is None:
        raise SternaError(
            "unsupported_arch",
            f"Sterna does not convert checkpoints of {named[0] if named else 'an unnamed class'} yet.",
            f"It converts {', '.join(FAMILIES)}; llama.cpp's convert_hf_to_gguf.py knows more.",
        )
    text = config.part("text_config").values
    return family, Config({**family.assumed, **config.values, **text, "architectures": named})
