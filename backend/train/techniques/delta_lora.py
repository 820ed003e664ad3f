"""Delta-LoRA (Zi et al. 2023, arXiv:2309.02411): LoRA whose steps also move the weights.

From step K on, W_{t+1} = W_t + lambda s (B_{t+1} A_{t+1} - B_t A_t). The sum telescopes:

    W_t = W_0 + lambda s (B_t A_t - B_K A_K)        for t >= K,

so W_t is kept as W_0 (untouched, in whatever type or quantisation it has) beside a product that carries
no gradient to A and B. Nothing is rounded into a bfloat16 weight, ternary bases stay ternary, and a
checkpoint is the adapter plus the snapshot (A_K, B_K). All in all
W_0 + s B A changes by s (1 + lambda) B A - lambda s B_K A_K: an adapter of rank 2r, which is what is
saved. With K = 0 (B_0 = 0) it is LoRA of alpha (1 + lambda) under Adam.
No dropout: the gradient of W and that of the product must be the same.
"""

import copy
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import linear

from backend.train.techniques.lora import Adapted, Lora, adapted
from backend.train.techniques.product import Moving, Product, Snapshot
from backend.train.techniques.technique import ADAPTER, Factors, float32


class DeltaLora(Lora):
    """LoRA by peft, with a moving weight beside every frozen one."""

    def attach(self, model: nn.Module) -> nn.Module:
        model = super().attach(model)
        for m in adapted(model):
            m.layer.lora_variant[ADAPTER] = _MovingWeight(self.spec.update_ratio)
        return model

    def begin(self, model: nn.Module, done: int) -> None:
        self.after_step(model, done)

    def after_step(self, model: nn.Module, done: int) -> None:
        """Take the snapshot once K steps are done."""
        if done != max(self.spec.start_step, 0):
            return
        for m in adapted(model):
            moving = _moving(m)
            if moving.a is None:
                moving.a, moving.b = m.a.detach().clone(), m.b.detach().clone()

    def state(self, model: nn.Module) -> dict[str, Tensor]:
        """Return lambda and the snapshot: a checkpoint says all that was learned."""
        state = {}
        for m in adapted(model):
            moving = _moving(m)
            if moving.a is not None and moving.b is not None:
                state[f"{m.path}.a"], state[f"{m.path}.b"] = moving.a, moving.b
        return state and {"update_ratio": torch.tensor(self.spec.update_ratio), **state}

    def load_state(self, model: nn.Module, state: dict[str, Tensor]) -> None:
        for m in adapted(model):
            if f"{m.path}.a" in state:
                moving = _moving(m)
                moving.a = state[f"{m.path}.a"].to(m.a.device, m.a.dtype)
                moving.b = state[f"{m.path}.b"].to(m.a.device, m.a.dtype)

    def factors(self, model: nn.Module) -> Iterator[Factors]:
        """Yield rank 2r: [A; A_K] and [(1 + lambda) s B, -lambda s B_K]; rank r before step K."""
        share = self.spec.update_ratio
        for m in adapted(model):
            a, b, moving = float32(m.a), float32(m.b), _moving(m)
            if moving.a is None or moving.b is None or not share:
                yield Factors(m.path, a, m.scale * b)
                continue
            old_a, old_b = float32(moving.a), float32(moving.b)
            both = torch.cat(((1 + share) * m.scale * b, -share * m.scale * old_b), dim=1)
            yield Factors(m.path, torch.cat((a, old_a)), both)

    def save(self, model: nn.Module, folder: Path) -> None:
        """Write a plain LoRA adapter of rank 2r that says all that was learned."""
        save_as_lora(model, list(self.factors(model)), folder)


class _MovingWeight(Moving):
    """What peft calls in place of LoRA's own forward pass. `a`, `b`: the snapshot, None before step K."""

    def __init__(self, share: float) -> None:
        self.share = share
        self.a: Tensor | None = None
        self.b: Tensor | None = None

    def forward(  # type: ignore[override]  # peft declares it static
        self, module: Any, active_adapter: str, x: Tensor, result: Tensor, **_: Any
    ) -> Tensor:
        a, b = module.lora_A[active_adapter].weight, module.lora_B[active_adapter].weight
        scale: float = module.scaling[active_adapter]
        snapshot = self.snapshot()
        if snapshot is None:
            return result + linear(linear(x, a), b) * scale
        moved: Tensor = Product.apply(x, result, None, None, a, b, scale, snapshot)  # type: ignore[no-untyped-call]
        return moved

    def snapshot(self) -> Snapshot | None:
        if self.a is None or self.b is None or not self.share:
            return None
        return Snapshot(self.share, self.a, self.b)

    def moved(self, m: Adapted) -> Tensor | float:
        """Return W_t - W_0 [d_out, d_in] in float64: lambda s (B_t A_t - B_K A_K)."""
        snapshot = self.snapshot()
        if snapshot is None:
            return 0.0
        change = m.b.detach().double() @ m.a.detach().double()
        return (change - snapshot.b.double() @ snapshot.a.double()) * (snapshot.share * m.scale)

    def merge_safe(  # type: ignore[override]
        self, module: Any, active_adapter: str, orig_weight: Tensor
    ) -> Tensor:
        return self._merged(module, orig_weight, 1)

    def merge_unsafe(  # type: ignore[override]
        self, module: Any, active_adapter: str, orig_weight: Tensor
    ) -> None:
        orig_weight.data = self._merged(module, orig_weight.data, 1)

    def unmerge(  # type: ignore[override]
        self, module: Any, active_adapter: str, orig_weight: Tensor
    ) -> Tensor:
        return self._merged(module, orig_weight, -1)

    def _merged(self, module: Any, weight: Tensor, sign: int) -> Tensor:
        m = Adapted("", module)
        product = m.scale * (m.b.detach().double() @ m.a.detach().double())
        return (weight.double() + sign * (self.moved(m) + product)).to(weight.dtype)


def _moving(m: Adapted) -> _MovingWeight:
    variant = m.layer.lora_variant[ADAPTER]
    assert isinstance(variant, _MovingWeight)
    return variant


def weight_now(m: Adapted) -> Tensor:
    """Return W_t of an adapted matrix in float64 [d_out, d_in]: the frozen one and how far it moved."""
    return m.weight.double() + _moving(m).moved(m)


def save_as_lora(model: nn.Module, factors: list[Factors], folder: Path) -> None:
    """Write factors as a plain LoRA adapter: alpha = rank, for their scales are in B."""
    configs: Any = model.peft_config
    config = copy.deepcopy(configs[ADAPTER])
    config.r = config.lora_alpha = factors[0].a.shape[0]
    config.use_rslora = False
    config.inference_mode = True
    folder.mkdir(parents=True, exist_ok=True)
    config.save_pretrained(str(folder))
    tensors = {}
    for f in factors:
        tensors[f"base_model.model.{f.module}.lora_A.weight"] = f.a.contiguous()
        tensors[f"base_model.model.{f.module}.lora_B.weight"] = f.b.contiguous()
    save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})
