"""Bases: what a fine-tune stands on, loaded with frozen weights."""

import torch
from transformers import PreTrainedModel

from backend.errors import SternaError
from backend.train.bases.folder import load_folder
from backend.train.bases.gguf import load_gguf
from backend.train.bases.ternary import TernaryLinear
from backend.train.recipe import Recipe
from backend.train.source import Source, shape_of


def device_of(recipe: Recipe) -> torch.device:
    """Return the device of a recipe. Raises SternaError `no_device`."""
    wanted = recipe.base.device
    there = {
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
        "cpu": True,
    }
    if wanted == "auto":
        return torch.device(next(name for name, here in there.items() if here))
    if not there[wanted]:
        raise SternaError(
            "no_device", f"PyTorch finds no {wanted} device here.", 'Set base.device to "auto".'
        )
    return torch.device(wanted)


def dtype_of(recipe: Recipe, device: torch.device) -> torch.dtype:
    """Return the type of the frozen weights; what learns is float32 always."""
    if recipe.technique.name == "sft":
        return torch.float32
    if recipe.base.dtype == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    return torch.bfloat16 if recipe.base.dtype == "bfloat16" else torch.float32


def load_base(recipe: Recipe, source: Source, device: torch.device) -> PreTrainedModel:
    """Return the frozen model. Raises SternaError."""
    dtype, full = dtype_of(recipe, device), recipe.technique.name == "sft"
    if source.kind == "gguf":
        model = load_gguf(source.path, dtype)
    else:
        masters = full and _is_ternary_folder(source)
        model = load_folder(
            source.path, dtype, masters=masters, load_in_4bit=recipe.base.load_in_4bit
        )
    if full and shape_of(source).mixture is not None:
        raise SternaError(
            "untrainable",
            "In a mixture of experts only attention learns: the experts stay as they are.",
            "Train an adapter (lora, lora-fa, vera, lora-plus, delta-lora).",
        )
    if full and is_ternary(model):
        raise SternaError(
            "untrainable",
            "This base has ternary weights alone: what was rounded away cannot learn.",
            "Train an adapter (lora, lora-fa, vera, lora-plus, delta-lora), or take the folder of "
            "the bfloat16 masters.",
        )
    if recipe.technique.dora and is_ternary(model):
        raise SternaError(
            "untrainable",
            "DoRA scales the weights themselves, which would make ternary ones something else.",
            "Take LoRA without it.",
        )
    return model


def is_ternary(model: torch.nn.Module) -> bool:
    """Whether layers of a model are frozen codes."""
    return any(isinstance(m, TernaryLinear) for m in model.modules())


def _is_ternary_folder(source: Source) -> bool:
    from backend.train.bases.folder import read_config

    said = read_config(source.path).get("quantization_config") or {}
    return said.get("quant_method") == "bitnet"
