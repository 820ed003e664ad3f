"""Ternary layers as BitNet b1.58 trains them (Ma et al. 2024, arXiv:2402.17764).

    x~ = clamp(round(127 x / max|x|), -128, 127) max|x| / 127     a scale for each token
    W~ = gamma clamp(round(W / gamma), -1, 1)                     gamma = mean|W|, one for the matrix
    y  = W~ x~ (+ bias)

Rounding passes gradients through as if it were not there. A frozen layer keeps the codes -1, 0, 1 at two
bits a weight and needs nothing of its input for the backward pass: grad_x = gamma Q^T grad_y. gamma is
kept, never computed again from the codes: their mean is smaller by the share of zeros.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad

LEAST = 1e-5  # below it neither a token's nor a matrix's scale is divided by


def quantise_tokens(x: Tensor) -> Tensor:
    """Return x~: each token rounded to 8 bits by its largest value, in the type of `x`."""
    wide = x.float()
    scale = 127 / wide.abs().amax(dim=-1, keepdim=True).clamp(min=LEAST)
    return ((wide * scale).round().clamp(-128, 127) / scale).to(x.dtype)


def absmean(weight: Tensor) -> tuple[Tensor, Tensor]:
    """Return (codes -1 0 1 in the type of `weight`, gamma float32)."""
    wide = weight.float()
    gamma = wide.abs().mean().clamp(min=LEAST)
    return (wide / gamma).round().clamp(-1, 1).to(weight.dtype), gamma


def pack(codes: Tensor) -> Tensor:
    """Pack codes [rows, cols] as two bits each: byte j of a row holds columns 4j to 4j + 3, code + 1."""
    filled = pad((codes.to(torch.int8) + 1).to(torch.uint8), (0, -codes.shape[1] % 4), value=1)
    parts = filled.reshape(len(codes), -1, 4)
    return parts[..., 0] | parts[..., 1] << 2 | parts[..., 2] << 4 | parts[..., 3] << 6


def unpack(packed: Tensor, cols: int, dtype: torch.dtype) -> Tensor:
    """Return the codes [rows, cols] of packed bytes."""
    parts = [(packed >> shift & 3) for shift in (0, 2, 4, 6)]
    codes = torch.stack(parts, dim=-1).reshape(len(packed), -1)[:, :cols]
    return codes.to(dtype) - 1


class _FrozenProduct(torch.autograd.Function):
    """gamma Q x~, keeping two bits a weight and nothing of x."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, packed: Tensor, gamma: Tensor) -> Tensor:
        ctx.save_for_backward(packed, gamma)
        ctx.cols = x.shape[-1]
        codes = unpack(packed, x.shape[-1], x.dtype)
        return linear(quantise_tokens(x), codes) * gamma.to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        packed, gamma = ctx.saved_tensors
        codes = unpack(packed, ctx.cols, grad.dtype)
        return (grad * gamma.to(grad.dtype)) @ codes, None, None


class TernaryLinear(nn.Linear):
    """A frozen ternary layer, for adapters to stand beside. It cannot be merged into.

    `packed` uint8 [d_out, ceil(d_in / 4)] and `gamma` float32 [] are buffers; `weight` is made when it
    is asked for and cannot be set.
    """

    def __init__(self, codes: Tensor, gamma: float | Tensor, bias: Tensor | None = None) -> None:
        nn.Module.__init__(self)
        self.out_features, self.in_features = codes.shape
        self.register_buffer("packed", pack(codes))
        self.register_buffer("gamma", torch.as_tensor(gamma, dtype=torch.float32).reshape(()))
        frozen = None if bias is None else nn.Parameter(bias, requires_grad=False)
        self.register_parameter("bias", frozen)
        self.compute_type = torch.float32

    packed: Tensor
    gamma: Tensor

    @property
    def weight(self) -> Tensor:  # type: ignore[override]
        """W~ [d_out, d_in], made anew."""
        return self.codes() * self.gamma.to(self.compute_type)

    def codes(self) -> Tensor:
        """Return Q [d_out, d_in]: -1, 0 and 1."""
        return unpack(self.packed, self.in_features, self.compute_type)

    def forward(self, input: Tensor) -> Tensor:
        """Return gamma Q x~ + bias."""
        y: Tensor = _FrozenProduct.apply(input, self.packed, self.gamma)  # type: ignore[no-untyped-call]
        return y if self.bias is None else y + self.bias


class _Through(torch.autograd.Function):
    """A rounding whose gradient is that of the identity."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, rounded: Tensor) -> Tensor:
        return rounded

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        return grad, None


class MasterLinear(nn.Linear):
    """A ternary layer that learns: float masters, rounded in every forward pass."""

    @classmethod
    def of(cls, layer: nn.Linear) -> "MasterLinear":
        """Return a layer over the very parameters of another."""
        made = cls.__new__(cls)
        nn.Module.__init__(made)
        made.in_features, made.out_features = layer.in_features, layer.out_features
        made.weight, made.bias = layer.weight, layer.bias
        return made

    def forward(self, input: Tensor) -> Tensor:
        """Return W~ x~ + bias, gradients straight through."""
        codes, gamma = absmean(self.weight)
        weight: Tensor = _Through.apply(self.weight, codes * gamma.to(codes.dtype))  # type: ignore[no-untyped-call]
        x: Tensor = _Through.apply(input, quantise_tokens(input))  # type: ignore[no-untyped-call]
        return linear(x, weight, self.bias)
