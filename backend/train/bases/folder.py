"""A Hugging Face folder as a base: safetensors only, never a pickle, and no code of its own.

Ternary folders keep their weights in one of two ways (`linear_class` of the configuration):
`autobitlinear` multiplies by `weight_scale` = mean|W|, `bitlinear` divides by it = 1 / mean|W|. Their
bytes hold four blocks of rows: bits 2j and 2j + 1 of byte [i, k] are the code of row j R + i, column k,
plus one, for R = d_out / 4.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from accelerate import init_empty_weights
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedModel

from backend.errors import SternaError
from backend.train.bases.ternary import MasterLinear, TernaryLinear, absmean

_EXPERTS = ("num_experts", "num_local_experts")


def load_folder(
    folder: Path, dtype: torch.dtype, *, masters: bool = False, load_in_4bit: bool = False
) -> PreTrainedModel:
    """Return the model of a folder with frozen weights of `dtype`.

    `masters`: the float weights behind a ternary model learn, rounded in every pass. Raises SternaError
    `untrainable`, `unsafe_weights`, `unsupported_arch`, `corrupt`.
    """
    settings = read_config(folder)
    _refuse(settings, folder, load_in_4bit)
    quantisation = settings.get("quantization_config") or {}
    if quantisation.get("quant_method") == "bitnet":
        model = _ternary(folder, settings, quantisation, dtype, masters)
    elif masters:
        raise SternaError(
            "untrainable", f"{folder.name} is no ternary model.", "Take the technique sft."
        )
    else:
        model = _plain(folder, settings, dtype, load_in_4bit)
    model.requires_grad_(False)
    model.name_or_path = model.config.name_or_path = str(folder)
    return model


def read_config(folder: Path) -> dict[str, Any]:
    """Return `config.json`. Raises SternaError `not_a_model`, `corrupt`."""
    try:
        settings = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except OSError as error:
        raise SternaError(
            "not_a_model", f"{folder} has no config.json that can be read.", "Name another folder."
        ) from error
    except (ValueError, RecursionError) as error:
        raise SternaError(
            "corrupt", f"config.json of {folder} is no JSON.", "Download it again."
        ) from error
    if not isinstance(settings, dict):
        raise SternaError("corrupt", f"config.json of {folder} is no object.", "Download it again.")
    return settings


def _refuse(settings: dict[str, Any], folder: Path, load_in_4bit: bool) -> None:
    if "auto_map" in settings:
        raise SternaError(
            "untrainable",
            "This model wants to run code of its own, which Sterna never does.",
            "Take a model that transformers knows by itself.",
        )
    if not any(folder.glob("*.safetensors")):
        pickles = any(folder.glob("*.bin")) or any(folder.glob("*.pt"))
        why = "its weights are a pickle, which may run any code" if pickles else "it has no weights"
        raise SternaError(
            "unsafe_weights" if pickles else "not_a_model",
            f"{folder.name} cannot be used: {why}.",
            "Take a copy of the model with .safetensors files.",
        )
    method = (settings.get("quantization_config") or {}).get("quant_method")
    if method not in (None, "bitnet", "bitsandbytes"):
        raise SternaError(
            "untrainable",
            f"The weights of this model are quantised by {method}, which Sterna does not train on.",
            "Take the model it was made from, or a GGUF file of it.",
        )
    if (method == "bitsandbytes" or load_in_4bit) and not torch.cuda.is_available():
        raise SternaError(
            "no_cuda",
            "Weights in 4 bits by bitsandbytes need a CUDA graphics card, and there is none.",
            "Train on a GGUF file of this model, or without --4bit.",
        )


def _plain(
    folder: Path, settings: dict[str, Any], dtype: torch.dtype, load_in_4bit: bool
) -> PreTrainedModel:
    more: dict[str, Any] = {}
    if any(key in settings for key in _EXPERTS):
        more["experts_implementation"] = "eager"  # one after the other, in the order of every run
    if load_in_4bit:
        more |= {"quantization_config": _four_bits(dtype), "device_map": {"": 0}}
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            folder,
            dtype=dtype,
            use_safetensors=True,
            trust_remote_code=False,
            local_files_only=True,
            attn_implementation="sdpa",
            **more,
        )
    except (SafetensorError, RuntimeError) as error:
        raise SternaError(
            "corrupt",
            f"The weights of {folder.name} cannot be read: {error}.",
            "Download it again.",
        ) from error
    except (ValueError, KeyError) as error:
        raise SternaError(
            "unsupported_arch",
            f"transformers cannot load {folder.name} as a language model: {error}.",
            "Take another model, or a newer transformers.",
        ) from error
    return model


def _four_bits(dtype: torch.dtype) -> Any:
    from importlib.util import find_spec

    from transformers import BitsAndBytesConfig

    if find_spec("bitsandbytes") is None:
        raise SternaError(
            "missing_extra",
            "Weights in 4 bits need the package bitsandbytes.",
            "Install it: pip install 'sterna[train-4bit]'.",
        )
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )


# Ternary folders ---------------------------------------------------------------------------------


def unpack_rows(packed: Tensor) -> Tensor:
    """Return int8 codes [4 R, cols] of Hugging Face's bytes [R, cols]."""
    return torch.cat([(packed >> 2 * j & 3).to(torch.int8) - 1 for j in range(4)])


def rows_of_bytes(codes: Tensor) -> Tensor:
    """Undo `unpack_rows`."""
    blocks = (codes + 1).to(torch.uint8).chunk(4)
    return blocks[0] | blocks[1] << 2 | blocks[2] << 4 | blocks[3] << 6


def _ternary(
    folder: Path,
    settings: dict[str, Any],
    quantisation: dict[str, Any],
    dtype: torch.dtype,
    masters: bool,
) -> PreTrainedModel:
    """Build the model and take each layer as the file has it: packed, unpacked, or as masters."""
    online = quantisation.get("quantization_mode") == "online"
    if quantisation.get("use_rms_norm"):
        raise SternaError(
            "untrainable",
            "This model has norms inside its ternary layers, which Sterna does not train yet.",
            "Take another ternary model.",
        )
    if masters and not online:
        raise SternaError(
            "untrainable",
            "This folder has ternary weights alone: what was rounded away cannot learn.",
            "Train an adapter, or take the folder of the bfloat16 masters.",
        )
    plain = {k: v for k, v in settings.items() if k != "quantization_config"}
    config = AutoConfig.for_model(**plain)
    config._attn_implementation = "sdpa"
    with init_empty_weights(include_buffers=False):
        model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    inverse = quantisation.get("linear_class", "bitlinear") == "bitlinear"
    tensors = _Tensors(folder)
    keep = set(quantisation.get("modules_to_not_convert") or []) | {"lm_head"}
    ternary = {
        name
        for name, module in model.named_modules()
        if isinstance(module, nn.Linear) and not any(part in keep for part in name.split("."))
    }
    for name in tensors.names():
        stem, _, ending = name.rpartition(".")
        if ending == "weight_scale":
            continue
        value = tensors[name]
        if stem in ternary and ending == "weight":
            layer = _layer(
                value, tensors.get(f"{stem}.weight_scale"), inverse, online, masters, dtype
            )
            _fits(name, model, stem, (layer.out_features, layer.in_features))
            model.set_submodule(stem, layer)
        else:
            _fits(name, model, stem, tuple(value.shape), ending)
            model.get_submodule(stem).register_parameter(
                ending, nn.Parameter(value.to(dtype), requires_grad=False)
            )
    model.tie_weights()
    left = [name for name, p in model.named_parameters() if p.is_meta]
    if left:
        raise SternaError("corrupt", f"{folder.name} lacks {left[0]}.", "Download it again.")
    return model


def _layer(
    value: Tensor,
    scale: Tensor | None,
    inverse: bool,
    online: bool,
    masters: bool,
    dtype: torch.dtype,
) -> nn.Linear:
    if masters or online:
        plain = nn.Linear(1, 1, bias=False)
        plain.out_features, plain.in_features = value.shape
        plain.weight = nn.Parameter(value.to(dtype))
        if masters:
            return MasterLinear.of(plain)
        codes, gamma = absmean(value.float())
        return _frozen(codes, gamma, dtype)
    codes = unpack_rows(value) if value.dtype == torch.uint8 else value.to(torch.int8)
    if scale is None or scale.numel() != 1 or not float(scale):
        raise SternaError(
            "corrupt", "A ternary layer of this folder has no scale.", "Download it again."
        )
    gamma = scale.float().reshape(())
    return _frozen(codes, 1 / gamma if inverse else gamma, dtype)


def _frozen(codes: Tensor, gamma: Tensor, dtype: torch.dtype) -> TernaryLinear:
    layer = TernaryLinear(codes, gamma)
    layer.compute_type = dtype
    return layer


def _fits(
    name: str, model: nn.Module, stem: str, shape: tuple[int, ...], ending: str = "weight"
) -> None:
    try:
        expected = getattr(model.get_submodule(stem), ending, None)
    except AttributeError:
        expected = None
    if expected is None or tuple(expected.shape) != shape:
        raise SternaError(
            "untrainable",
            f"The folder has {name} {list(shape)}, which this model has no place for.",
            "Take another copy of the model.",
        )


class _Tensors:
    """The tensors of all safetensors files of a folder, read one at a time."""

    def __init__(self, folder: Path) -> None:
        self._files: dict[str, Path] = {}
        try:
            for path in sorted(folder.glob("*.safetensors")):
                with safe_open(path, "pt") as file:
                    self._files |= dict.fromkeys(file.keys(), path)
        except (SafetensorError, OSError) as error:
            raise SternaError(
                "corrupt",
                f"The weights of {folder.name} cannot be read: {error}.",
                "Download again.",
            ) from error

    def names(self) -> Iterator[str]:
        yield from self._files

    def __getitem__(self, name: str) -> Tensor:
        with safe_open(self._files[name], "pt") as file:
            tensor: Tensor = file.get_tensor(name)
        return tensor

    def get(self, name: str) -> Tensor | None:
        return self[name] if name in self._files else None
