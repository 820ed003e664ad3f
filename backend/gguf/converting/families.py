"""Which checkpoints can be converted: one line each for what their files keep otherwise.

Names of tensors come from the gguf package; conventions are those of llama.cpp's converter.
"""

from dataclasses import dataclass
from pathlib import Path

from backend.errors import SternaError
from backend.gguf.converting.documents import Config, read_json


@dataclass(frozen=True, slots=True)
class Family:
    """A family of checkpoints.

    `arch`: its name in GGUF. `pairs`: queries and keys are stored with rotary pairs side by side.
    `plus_one`: norms are kept as one plus their weight. `gate`: the activation that the architecture
    means when a file does not name one. `ternary`: linear layers are BitNet's whatever the config says.
    """

    arch: str
    pairs: bool = False
    plus_one: bool = False
    gate: str = "silu"
    ternary: bool = False


_GELU = "gelu_pytorch_tanh"
_GEMMA3 = Family("gemma3", plus_one=True, gate=_GELU)

# By the class that config.json names in `architectures`.
FAMILIES: dict[str, Family] = {
    "LlamaForCausalLM": Family("llama", pairs=True),
    "MistralForCausalLM": Family("llama", pairs=True),
    "MixtralForCausalLM": Family("llama", pairs=True),
    "GraniteForCausalLM": Family("granite", pairs=True),
    "GraniteMoeForCausalLM": Family("granitemoe", pairs=True),
    "Qwen2ForCausalLM": Family("qwen2"),
    "Qwen2MoeForCausalLM": Family("qwen2moe"),
    "Qwen3ForCausalLM": Family("qwen3"),
    "Qwen3MoeForCausalLM": Family("qwen3moe"),
    "GemmaForCausalLM": Family("gemma", plus_one=True, gate=_GELU),
    "Gemma2ForCausalLM": Family("gemma2", plus_one=True, gate=_GELU),
    "Gemma3ForCausalLM": _GEMMA3,
    "Gemma3ForConditionalGeneration": _GEMMA3,
    "Phi3ForCausalLM": Family("phi3"),
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
    text = config.part("text_config")
    if not text.values:
        return family, config
    return family, Config({**config.values, **text.values, "architectures": named})
