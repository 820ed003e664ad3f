"""A frozen matrix and its VeRA as one product of autograd: y = x W^T + b * ((d * x A^T) B^T).

A serves all matrices, so x A^T is the same for all that read the same x (q, k and v; gate and up): it is made
once, and so is its gradient. b and d go into what is r wide where they can:

    u = x A^T    v = (d * u) B^T      y = x W^T + b * v
    w = (dy * b) B    dx = dy W + (sum of d * w) A    dd = sum w * u    db = sum dy * v    (sums over tokens)

u and v are kept. Dropout, mixed precision, several adapters and passes without gradients are left to peft.
"""

import weakref
from typing import Any

import torch
from peft.tuners.vera.layer import Linear
from torch import Tensor, nn
from torch.autograd import Function

from backend.train.techniques.product import is_plain_step
from backend.train.techniques.technique import ADAPTER


class Narrowed:
    """x A^T of the x that was asked for last."""

    def __init__(self) -> None:
        self._of: weakref.ref[Tensor] | None = None
        self._narrow: Tensor | None = None

    def of(self, x: Tensor, a: Tensor) -> Tensor:
        """Return x A^T [tokens, r] of x [..., d_in] and A [r, d_in]."""
        if self._narrow is None or self._of is None or self._of() is not x:
            narrow: Tensor = _Narrow.apply(x, a, self)  # type: ignore[no-untyped-call]
            self._of, self._narrow = weakref.ref(x), narrow
        return self._narrow

    def forget(self) -> None:
        """Let it go: its graph has been used."""
        self._of = self._narrow = None


class AdaptedVera(Linear):
    """peft's linear layer with VeRA, computed in one. Its parameters, names and files are peft's."""

    narrowed: Narrowed

    @classmethod
    def take(cls, layer: nn.Module, narrowed: Narrowed) -> None:
        """Turn a layer of peft into one of ours, where it lies; `narrowed` is one for the whole model."""
        if type(layer) is Linear:
            layer.__class__ = cls
            layer.narrowed = narrowed  # type: ignore[assignment]  # no module

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """Return y [..., d_out] of x [..., d_in]."""
        if args or kwargs or not self._is_plain(x):
            result: Tensor = super().forward(x, *args, **kwargs)
            return result
        base = self.get_base_layer()
        assert self.vera_A is not None
        assert self.vera_B is not None
        u = self.narrowed.of(x, self.vera_A[ADAPTER][:, : self.in_features])
        y: Tensor = _Widen.apply(  # type: ignore[no-untyped-call]
            x, u, base.weight, base.bias, self.vera_lambda_d[ADAPTER], self.vera_lambda_b[ADAPTER],
            self.vera_B[ADAPTER][: self.out_features],
        )  # fmt: skip
        return y

    def _is_plain(self, x: Tensor) -> bool:
        if ADAPTER not in self.vera_lambda_d or self.vera_A is None:
            return False
        kind = self.vera_lambda_d[ADAPTER].dtype
        same = self.vera_A[ADAPTER].dtype == kind
        return same and is_plain_step(self, x, kind, self.vera_dropout[ADAPTER])


class _Narrow(Function):
    """x [..., d_in] to x A^T [tokens, r]."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, a: Tensor, keeper: Narrowed) -> Tensor:
        ctx.save_for_backward(a)
        ctx.shape, ctx.keeper = x.shape, keeper
        return x.reshape(-1, x.shape[-1]) @ a.T

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, None, None]:
        ctx.keeper.forget()
        (a,) = ctx.saved_tensors
        return (grads[0] @ a).view(ctx.shape), None, None


class _Widen(Function):
    """x and u = x A^T to y."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, u: Tensor, weight: Tensor, bias: Tensor | None, d: Tensor, b: Tensor,
        wide: Tensor,
    ) -> Tensor:  # fmt: skip
        flat = x.reshape(-1, x.shape[-1])
        v = (u * d) @ wide.T
        y = flat @ weight.T if bias is None else torch.addmm(bias, flat, weight.T)
        ctx.save_for_backward(u, v, weight, d, b, wide)
        ctx.shape = x.shape
        return y.addcmul_(v, b).view(*x.shape[:-1], len(b))

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        u, v, weight, d, b, wide = ctx.saved_tensors
        grad = grads[0].reshape(-1, grads[0].shape[-1])
        w = grad @ (wide * b[:, None])
        to_x = (grad @ weight).view(ctx.shape) if ctx.needs_input_grad[0] else None
        to_u = w * d if ctx.needs_input_grad[1] else None
        return to_x, to_u, None, None, (w * u).sum(0), (grad * v).sum(0), None
