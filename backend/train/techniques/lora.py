"""LoRA (Hu et al. 2021, arXiv:2106.09685): h = W x + s B (A x), W frozen.

A begins at random (Kaiming uniform, a = sqrt 5, as the authors' code), B at zero, so that training starts
from the model as it is. s = alpha / r; with rsLoRA alpha / sqrt r (Kalajdzievski 2023,
arXiv:2312.03732); DoRA learns the magnitude of W + s B A apart (Liu et al. 2024, arXiv:2402.09353).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from peft import LoraConfig, get_peft_model
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from backend.errors import SternaError
from backend.train.techniques.product import AdaptedLinear
from backend.train.techniques.technique import ADAPTER, Factors, Technique, float32


@dataclass(frozen=True, slots=True)
class Adapted:
    """A matrix with an adapter beside it. `path` in the base model; `layer` is peft's."""

    path: str
    layer: Any

    @property
    def a(self) -> nn.Parameter:
        """A [r, d_in]."""
        a: nn.Parameter = self.layer.lora_A[ADAPTER].weight
        return a

    @property
    def b(self) -> nn.Parameter:
        """B [d_out, r]."""
        b: nn.Parameter = self.layer.lora_B[ADAPTER].weight
        return b

    @property
    def scale(self) -> float:
        """The scale s."""
        scale: float = self.layer.scaling[ADAPTER]
        return scale

    @property
    def weight(self) -> Tensor:
        """W [d_out, d_in], frozen."""
        weight: Tensor = self.layer.get_base_layer().weight.detach()
        return weight


def adapted(model: nn.Module) -> Iterator[Adapted]:
    """Yield every adapted matrix of a model."""
    for name, module in model.named_modules():
        if isinstance(module, LoraLayer) and ADAPTER in module.lora_A:
            yield Adapted(name.removeprefix("base_model.model."), module)


class Lora(Technique):
    """LoRA by peft."""

    def config(self) -> LoraConfig:
        """Return peft's configuration of this adapter."""
        s = self.spec
        return LoraConfig(
            task_type="CAUSAL_LM",
            r=s.rank,
            lora_alpha=s.alpha,  # type: ignore[arg-type]  # peft takes any number
            lora_dropout=s.dropout,
            target_modules=s.targets if isinstance(s.targets, str) else list(s.targets),
            use_rslora=s.rslora,
            use_dora=s.dora,
            bias="none",
        )

    def attach(self, model: nn.Module) -> nn.Module:
        made: nn.Module = get_peft_model(model, self.config())
        for m in adapted(made):
            AdaptedLinear.take(m.layer)
        return made

    def factors(self, model: nn.Module) -> Iterator[Factors]:
        if self.spec.dora:
            raise SternaError(
                "no_factors",
                "A DoRA adapter also scales the weights: it is no product of two matrices.",
                "Export merged weights instead.",
            )
        for m in adapted(model):
            yield Factors(m.path, float32(m.a), float32(m.b) * m.scale)
