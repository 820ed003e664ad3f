"""A frozen matrix and the adapter beside it as one product of autograd: y = x W^T + s (x A^T) B^T.

Written as peft has it, each adapter passes over its wide output three times more (its own product, times s,
added) and as often backwards. Here s scales what is r wide, and both products add into what is there:

    u = s x A^T        y = x W^T + u B^T
    v = s dy B         dx = dy W + v A        dA = v^T x        dB = dy^T u

u and, only where A learns, x are kept. A `Snapshot` adds Delta-LoRA's moving weight, as if A and B had twice
the rows and columns. Whatever is unlike a plain training step is left to peft: several adapters, merged ones,
dropout, variants, other kinds of base, mixed precision, and passes without gradients.
"""

from typing import Any, NamedTuple

import torch
from peft.tuners.lora.layer import Linear, LoraVariant
from torch import Tensor, nn
from torch.autograd import Function

from backend.train.techniques.technique import ADAPTER


class Snapshot(NamedTuple):
    """(A_K, B_K), and the share of s (B A - B_K A_K) by which the weight has moved."""

    share: float
    a: Tensor
    b: Tensor


class Moving(LoraVariant):
    """A variant that is LoRA beside a weight that moves."""

    def snapshot(self) -> Snapshot | None:
        """Return what it moved from, None as long as it has not."""
        raise NotImplementedError


def is_plain_step(layer: Any, x: Tensor, kind: torch.dtype, dropout: nn.Module) -> bool:
    """Whether a layer of peft does nothing but train ADAPTER, of type `kind`, beside a frozen linear layer."""
    base = layer.get_base_layer()
    if type(base) is not nn.Linear or base.weight.requires_grad:
        return False
    if layer.disable_adapters or layer.merged or layer.active_adapters != [ADAPTER]:
        return False
    if not torch.is_grad_enabled() or torch.is_autocast_enabled(x.device.type):
        return False
    idle = isinstance(dropout, nn.Identity) or not dropout.training
    return idle and x.dtype == base.weight.dtype == kind


class AdaptedLinear(Linear):
    """peft's linear layer with LoRA, computed in one. Its parameters, names and files are peft's."""

    @classmethod
    def take(cls, layer: nn.Module) -> None:
        """Turn a layer of peft into one of ours, where it lies."""
        if type(layer) is Linear:
            layer.__class__ = cls

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return y [..., d_out] of x [..., d_in]."""
        if args or kwargs or not self._is_plain(x):
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        variant, base = self.lora_variant.get(ADAPTER), self.get_base_layer()
        snapshot = variant.snapshot() if isinstance(variant, Moving) else None
        a, b = self.lora_A[ADAPTER].weight, self.lora_B[ADAPTER].weight
        y: Tensor = Product.apply(  # type: ignore[no-untyped-call]
            x, None, base.weight, base.bias, a, b, self.scaling[ADAPTER], snapshot
        )
        return y

    def _is_plain(self, x: Tensor) -> bool:
        variant = self.lora_variant.get(ADAPTER)
        if not (variant is None or isinstance(variant, Moving)):
            return False
        if ADAPTER not in self.lora_A or self.lora_bias[ADAPTER]:
            return False
        kind: Any = self.lora_A[ADAPTER].weight.dtype
        return is_plain_step(self, x, kind, self.lora_dropout[ADAPTER])


class Product(Function):
    """y of the formulas above. `result` [..., d_out]: x W^T where it is known already; else `weight`."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, result: Tensor | None, weight: Tensor | None, bias: Tensor | None,
        a: Tensor, b: Tensor, scale: float, snapshot: Snapshot | None,
    ) -> Tensor:  # fmt: skip
        place = x.device.type
        kind = torch.get_autocast_dtype(place) if torch.is_autocast_enabled(place) else a.dtype
        flat = x.reshape(-1, x.shape[-1]).to(kind)
        down, up = _factors(a, b, snapshot, kind)
        inner = (flat @ down.T).mul_(scale)
        if weight is not None:
            out = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)
            out.addmm_(inner, up.T)
        else:
            assert result is not None
            out = torch.addmm(result.reshape(len(flat), -1).to(kind), inner, up.T)
        if snapshot is not None:
            inner = inner[:, : len(a)].contiguous()  # the other half is let go
        ctx.save_for_backward(flat if ctx.needs_input_grad[4] else None, inner, weight, down, up)
        ctx.scale, ctx.share, ctx.shape = scale, snapshot.share if snapshot else 0.0, x.shape
        ctx.kinds = x.dtype, None if result is None else result.dtype, a.dtype
        return out.view(*x.shape[:-1], out.shape[1])

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        flat, inner, weight, down, up = ctx.saved_tensors
        of_x, of_result, of_factors = ctx.kinds
        grad = grads[0].reshape(-1, grads[0].shape[-1]).to(up.dtype)
        back = (grad @ up).mul_(ctx.scale)
        to_x = to_a = to_b = None
        if ctx.needs_input_grad[0]:
            to_x = back @ down if weight is None else (grad @ weight).addmm_(back, down)
            to_x = to_x.to(of_x).view(ctx.shape)
        if ctx.needs_input_grad[4]:
            own = back[:, : inner.shape[1]]
            to_a = (own.T @ flat).div_(1 + ctx.share).to(of_factors)
        if ctx.needs_input_grad[5]:
            to_b = (grad.T @ inner).to(of_factors)
        to_result = None if of_result is None else grads[0].to(of_result)
        return to_x, to_result, None, None, to_a, to_b, None, None


def _factors(
    a: Tensor, b: Tensor, snapshot: Snapshot | None, kind: torch.dtype
) -> tuple[Tensor, Tensor]:
    """Return ([A; A_K], [(1 + share) B, -share B_K]), or A and B."""
    if snapshot is None:
        return a.detach().to(kind), b.detach().to(kind)
    share, old_a, old_b = snapshot
    up = torch.cat(((1 + share) * b, -share * old_b), dim=1)
    return torch.cat((a, old_a)).to(kind), up.to(kind)
