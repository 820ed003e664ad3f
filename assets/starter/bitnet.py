"""BitNet b1.58 for training: a small decoder with ternary weights and 8-bit activations.

Forward as in "The Era of 1-bit LLMs" (Ma et al. 2024) and its published code: weights
clamp(round(W / g), -1, 1) g with g = mean|W| of the tensor, activations to 8 bits by the absolute
maximum of each token; both with straight-through gradients.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


@dataclass(frozen=True)
class Shape:
    """Sizes of the model; input widths are multiples of 256, the block of TQ2_0."""

    vocab: int = 2048
    hidden: int = 256
    layers: int = 6
    heads: int = 4
    kv_heads: int = 2
    feed_forward: int = 768
    context: int = 2048
    rope_base: float = 10000.0
    eps: float = 1e-5

    @property
    def head(self) -> int:
        """Width of a head."""
        return self.hidden // self.heads


def scale_of(weight: Tensor) -> Tensor:
    """Mean magnitude of a tensor, rounded to float16 as the file will hold it."""
    return weight.abs().mean().clamp(min=1e-5).half().float()


def ternary(weight: Tensor) -> Tensor:
    """Return the codes -1, 0, 1 of a weight."""
    return (weight / scale_of(weight)).round().clamp(-1, 1)


class BitLinear(nn.Linear):
    """A linear layer that computes as its ternary file will."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__(inputs, outputs, bias=False)
        nn.init.normal_(self.weight, std=inputs**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        """X [..., inputs] -> [..., outputs]."""
        w = self.weight
        w = w + (ternary(w) * scale_of(w) - w).detach()
        factor = 127.0 / x.abs().amax(dim=-1, keepdim=True).clamp(min=1e-5)
        x = x + ((x * factor).round().clamp(-128, 127) / factor - x).detach()
        return functional.linear(x, w)


class RMSNorm(nn.Module):
    """x / rms(x) * weight."""

    def __init__(self, width: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise the last dimension."""
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.eps) * self.weight


def turn(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions on pairs (i, i + half); x [batch, heads, time, head]."""
    a, b = x.chunk(2, dim=-1)
    return torch.cat((a * cos - b * sin, a * sin + b * cos), dim=-1)


class Layer(nn.Module):
    """Attention and feed-forward, each with a norm before and a norm before its output projection."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.attn_norm, self.attn_sub_norm = RMSNorm(s.hidden, s.eps), RMSNorm(s.hidden, s.eps)
        self.ffn_norm, self.ffn_sub_norm = RMSNorm(s.hidden, s.eps), RMSNorm(s.feed_forward, s.eps)
        self.attn_q = BitLinear(s.hidden, s.hidden)
        self.attn_k = BitLinear(s.hidden, s.kv_heads * s.head)
        self.attn_v = BitLinear(s.hidden, s.kv_heads * s.head)
        self.attn_output = BitLinear(s.hidden, s.hidden)
        self.ffn_gate = BitLinear(s.hidden, s.feed_forward)
        self.ffn_up = BitLinear(s.hidden, s.feed_forward)
        self.ffn_down = BitLinear(s.feed_forward, s.hidden)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
        """X [batch, time, hidden]."""
        b, t, _ = x.shape
        n = self.attn_norm(x)
        q, k, v = (
            f(n).view(b, t, -1, self.s.head).transpose(1, 2)
            for f in (self.attn_q, self.attn_k, self.attn_v)
        )
        q, k = turn(q, cos, sin), turn(k, cos, sin)
        mixed = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
        x = x + self.attn_output(self.attn_sub_norm(mixed.transpose(1, 2).reshape(b, t, -1)))
        n = self.ffn_norm(x)
        return x + self.ffn_down(
            self.ffn_sub_norm(functional.silu(self.ffn_gate(n)) * self.ffn_up(n))
        )


class BitNet(nn.Module):
    """The whole model; the output matrix is the table of embeddings."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.token_embd = nn.Embedding(s.vocab, s.hidden)
        nn.init.normal_(self.token_embd.weight, std=0.05)
        self.blk = nn.ModuleList(Layer(s) for _ in range(s.layers))
        self.output_norm = RMSNorm(s.hidden, s.eps)

    def forward(self, ids: Tensor) -> Tensor:
        """Ids [batch, time] -> the last hidden states [batch, time, hidden]."""
        inverse = self.s.rope_base ** (-torch.arange(0, self.s.head, 2) / self.s.head)
        angle = torch.arange(ids.shape[1])[:, None] * inverse
        cos, sin = angle.cos(), angle.sin()
        x = self.token_embd(ids)
        for layer in self.blk:
            x = layer(x, cos, sin)
        return self.output_norm(x)

    def logits(self, hidden: Tensor) -> Tensor:
        """Hidden states -> logits [..., vocab]."""
        return functional.linear(hidden, self.token_embd.weight)
