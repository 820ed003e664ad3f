"""The techniques, one file each: the equation and its paper at the top, and nothing else."""

from backend.train.recipe import Technique as Spec
from backend.train.techniques.delta_lora import DeltaLora
from backend.train.techniques.lora import Lora
from backend.train.techniques.lora_fa import LoraFA
from backend.train.techniques.lora_plus import LoraPlus
from backend.train.techniques.sft import FullTuning
from backend.train.techniques.technique import Factors, Technique
from backend.train.techniques.vera import Vera

_BY_NAME: dict[str, type[Technique]] = {
    "sft": FullTuning,
    "lora": Lora,
    "lora-fa": LoraFA,
    "vera": Vera,
    "lora-plus": LoraPlus,
    "delta-lora": DeltaLora,
}


def technique(spec: Spec) -> Technique:
    """Return the technique that a recipe asks for."""
    return _BY_NAME[spec.name](spec)


__all__ = ["Factors", "Technique", "technique"]
