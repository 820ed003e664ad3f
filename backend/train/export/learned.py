"""The change of every matrix, read from a PEFT folder: W' = W + B A, or DoRA's rescaled form of it."""

import fnmatch
import json
import math
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from backend.errors import SternaError
from backend.train.export import tensors
from backend.train.tensor_names import Floats

_PREFIX = "base_model.model."


@dataclass(frozen=True, slots=True)
class Change:
    """What was learned for the matrix of `module`: A [r, d_in], B [d_out, r] with all scales in it.

    `magnitude` [d_out] is DoRA's: the lengths of the rows of the whole. `shared`: A serves matrices of
    several widths, of which this one uses the first columns (VeRA).
    """

    module: str
    a: Floats
    b: Floats
    magnitude: Floats | None = None
    shared: bool = False

    @property
    def rank(self) -> int:
        """How many rows A has."""
        return int(self.a.shape[0])

    def fitting(self, inputs: int) -> "Change":
        """Return the change of a matrix of so many inputs."""
        if not self.shared or self.a.shape[1] < inputs:
            return self
        return replace(self, a=np.ascontiguousarray(self.a[:, :inputs]), shared=False)

    def rows(self, first: int, count: int) -> "Change":
        """Return the change of some rows alone."""
        some = slice(first, first + count)
        magnitude = None if self.magnitude is None else self.magnitude[some]
        return replace(self, b=self.b[some], magnitude=magnitude)

    def onto(self, weight: Floats) -> Floats:
        """Return W' of W, float32 [d_out, d_in]."""
        whole = weight.astype(np.float64) + self.b.astype(np.float64) @ self.a.astype(np.float64)
        if self.magnitude is not None:
            lengths = np.linalg.norm(whole, axis=1, keepdims=True)
            whole *= self.magnitude[:, None] / np.maximum(lengths, np.finfo(np.float32).tiny)
        return whole.astype(np.float32)


def read_changes(folder: Path) -> list[Change]:
    """Return the changes of an adapter folder. Raises SternaError `not_an_adapter`, `corrupt`."""
    config = _config(folder)
    found = _tensors(folder)
    kind = config.get("peft_type")
    if kind == "LORA":
        changes = [_with_snapshot(c, found, config) for c in _lora(config, found)]
    elif kind == "VERA":
        changes = _vera(found)
    else:
        raise SternaError(
            "unsupported_adapter",
            f"Sterna does not export adapters of the kind {kind}.",
            "It exports LoRA (with DoRA) and VeRA.",
        )
    if not changes:
        raise SternaError("corrupt", f"The adapter in {folder} changes nothing.", "Train it again.")
    return changes


def _config(folder: Path) -> dict[str, Any]:
    try:
        config = json.loads((folder / "adapter_config.json").read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise SternaError(
            "not_an_adapter", f"{folder} holds no adapter.", "Name a run, or a PEFT folder."
        ) from error
    except (OSError, ValueError, RecursionError) as error:
        raise SternaError(
            "corrupt", f"adapter_config.json of {folder} cannot be read.", "Train it again."
        ) from error
    if not isinstance(config, dict):
        raise SternaError("corrupt", f"The configuration in {folder} is no object.", "Train again.")
    if config.get("modules_to_save") or config.get("bias", "none") != "none":
        raise SternaError(
            "unsupported_adapter",
            "The adapter also replaces whole modules or biases, which no GGUF adapter can say.",
            "Train without modules_to_save and with bias none.",
        )
    return config


def _tensors(folder: Path) -> dict[str, Floats]:
    """Return all tensors as float32."""
    found = dict(tensors.every(folder))
    for name, values in found.items():
        if not np.isfinite(values).all():
            raise SternaError(
                "corrupt", f"{name} holds values that are no numbers.", "Train it again."
            )
    return found


def _lora(config: dict[str, Any], found: dict[str, Floats]) -> list[Change]:
    changes = []
    for name, a in found.items():
        if not name.endswith(".lora_A.weight"):
            continue
        stem = name.removesuffix(".lora_A.weight")
        module = stem.removeprefix(_PREFIX)
        b = found.get(f"{stem}.lora_B.weight")
        if b is None or b.shape[1] != a.shape[0]:
            raise SternaError("corrupt", f"The halves for {module} do not fit.", "Train it again.")
        scale = _scale(config, module, a.shape[0])
        magnitude = found.get(f"{stem}.lora_magnitude_vector")
        changes.append(Change(module, a, b * np.float32(scale), magnitude))
    return changes


def _with_snapshot(change: Change, found: dict[str, Floats], config: dict[str, Any]) -> Change:
    """Add what Delta-LoRA moved the weight by, in a checkpoint (a finished adapter has it already).

    W_t - W_0 = lambda (s B A - s B_K A_K), so all in all [A; A_K] and [(1 + lambda) s B, -lambda s B_K].
    """
    old = (
        found.get(f"{change.module}.a"),
        found.get(f"{change.module}.b"),
        found.get("update_ratio"),
    )
    if old[0] is None or old[1] is None or old[2] is None:
        return change
    share = float(old[2])
    past = -share * _scale(config, change.module, change.rank) * old[1]
    b = np.concatenate(((1 + share) * change.b, past), axis=1)
    return Change(change.module, np.concatenate((change.a, old[0])), b.astype(np.float32))


def _scale(config: dict[str, Any], module: str, rank: int) -> float:
    """Return alpha / r, or alpha / sqrt r, with the patterns that may differ by module."""
    alpha = float(_by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", rank)))
    return alpha / math.sqrt(rank) if config.get("use_rslora") else alpha / rank


def _by_pattern(pattern: Any, module: str, default: Any) -> Any:
    """Return what peft's patterns say of a module: a regular expression at the end of its path."""
    for key, value in (pattern or {}).items():
        if re.fullmatch(rf"(.*\.)?({key})", module) or fnmatch.fnmatchcase(module, key):
            return value
    return default


def _vera(found: dict[str, Floats]) -> list[Change]:
    """Fold exactly: A' = diag(d) A, B' = diag(b) B."""
    a, b = found.get("base_model.vera_A"), found.get("base_model.vera_B")
    if a is None or b is None:
        raise SternaError(
            "unsupported_adapter",
            "This VeRA adapter was saved without its projections, which a seed alone does not bring back.",
            "Train with save_projection, as Sterna does.",
        )
    changes = []
    for name, d in found.items():
        if not name.endswith(".vera_lambda_d"):
            continue
        stem = name.removesuffix(".vera_lambda_d")
        scale = found[f"{stem}.vera_lambda_b"]
        module = stem.removeprefix(_PREFIX)
        folded = d[:, None] * a, scale[:, None] * b[: len(scale)]
        changes.append(Change(module, *folded, shared=True))
    return changes
