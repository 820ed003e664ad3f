"""What every technique is: how it attaches to a model, learns, and is kept.

Notation of all files here, as peft writes it: a frozen weight W [d_out, d_in], A [r, d_in],
B [d_out, r], scale s. Adapters are float32 whatever the base is.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor, nn

from backend.train.recipe import Technique as Spec

ADAPTER = "default"  # peft's name of the one adapter


@dataclass(frozen=True, slots=True)
class Factors:
    """The whole change of one matrix as W' = W + B A: `module` its path, A [r, d_in], B [d_out, r].

    Scales are folded into B. float32.
    """

    module: str
    a: Tensor
    b: Tensor


class Technique:
    """One way to fine-tune. Subclasses say what differs."""

    def __init__(self, spec: Spec) -> None:
        self.spec = spec

    def attach(self, model: nn.Module) -> nn.Module:
        """Return the model ready to train: all frozen but what learns."""
        raise NotImplementedError

    def groups(self, model: nn.Module, rate: float, weight_decay: float) -> list[dict[str, Any]]:
        """Return the optimizer's groups. Every trainable parameter is in exactly one of them.

        Vectors (biases, norms, magnitudes) are not decayed.
        """
        named = [p for p in model.parameters() if p.requires_grad]
        matrices, vectors = [p for p in named if p.ndim > 1], [p for p in named if p.ndim <= 1]
        groups = [
            {"params": matrices, "lr": rate, "weight_decay": weight_decay},
            {"params": vectors, "lr": rate, "weight_decay": 0.0},
        ]
        return [group for group in groups if group["params"]]

    def before_step(self, model: nn.Module) -> None:
        """Change gradients, accumulated and clipped, before the optimizer's step."""

    def begin(self, model: nn.Module, done: int) -> None:
        """Note that `done` steps lie behind: 0 at the start, otherwise after a resumed one."""

    def after_step(self, model: nn.Module, done: int) -> None:
        """Note that `done` steps of the optimizer are done."""

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return what a checkpoint needs beside the adapter and the optimizer."""
        return {}

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        """Take up what `state` gave."""

    def factors(self, model: nn.Module) -> Iterator[Factors]:
        """Yield the change of every matrix. Raises SternaError where it is no product of two."""
        raise NotImplementedError

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write what was learned as peft (or transformers) reads it."""
        if isinstance(model, PeftModel):  # embeddings never learn here; peft would look for them
            model.save_pretrained(str(folder), save_embedding_layers=False)
        else:
            model.save_pretrained(folder, safe_serialization=True)  # type: ignore[operator]


def count_trainable(model: nn.Module) -> int:
    """Return how many numbers the optimizer moves."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def float32(tensor: Tensor) -> Tensor:
    """Return a detached float32 copy on the processor."""
    return tensor.detach().to("cpu", torch.float32)
