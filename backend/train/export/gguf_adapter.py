"""An adapter as a GGUF file, as llama.cpp and Sterna's engine put it beside a model.

For each matrix `<tensor>.lora_a` [r, d_in] and `<tensor>.lora_b` [d_out, r], float32. All scales (alpha,
rsLoRA, VeRA's vectors, Delta-LoRA's lambda) are in B, so `adapter.lora.alpha` is the rank itself.
"""

from pathlib import Path

import numpy as np

from backend import quants
from backend.errors import SternaError
from backend.gguf.writing import Blueprint, encode, write_gguf
from backend.train.export.learned import Change
from backend.train.export.target import Target
from backend.train.tensor_names import Floats


def write_adapter(changes: list[Change], target: Target, out: Path, name: str) -> int:
    """Write the file and return its bytes. Raises SternaError."""
    if any(change.magnitude is not None for change in changes):
        raise SternaError(
            "no_factors",
            "A DoRA adapter also scales the weights, which no GGUF adapter can say.",
            "Export merged weights: --as merged or --as merged-gguf.",
        )
    halves: dict[str, Floats] = {}
    for change in changes:
        tensor = target.tensor(change.module)
        fitting = target.fit(change, tensor)
        halves[f"{tensor}.lora_a"] = fitting.a
        halves[f"{tensor}.lora_b"] = target.rows(tensor, fitting.b)
    ranks = {change.rank for change in changes}
    # ranks that differ would need an alpha each: 0 means that B is scaled already
    alpha = float(ranks.pop()) if len(ranks) == 1 else 0.0
    pairs = {
        "general.architecture": encode(target.arch),
        "general.type": encode("adapter"),
        "general.name": encode(name),
        "general.file_type": encode(0),
        "adapter.type": encode("lora"),
        "adapter.lora.alpha": encode(alpha),
    }
    kind = quants.type_named("F32")
    tensors = [Blueprint(n, (v.shape[1], v.shape[0]), kind) for n, v in halves.items()]
    return write_gguf(out, pairs, tensors, lambda b: [np.ascontiguousarray(halves[b.name])])
