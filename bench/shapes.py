"""Real model shapes, and the tensors that a GGUF of each one holds."""

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """The numbers that decide what a token costs.

    `bitnet` adds the two sub-norms of BitNet b1.58; without it the shape is a plain Llama.
    """

    hidden: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    feed_forward: int
    vocabulary: int
    bitnet: bool
    tied: bool
    activation: str = "silu"
    rope_base: float = 500000.0
    context: int = 4096


SHAPES: dict[str, Shape] = {
    "bitnet-2b4t": Shape(2560, 30, 20, 5, 128, 6912, 128256, True, True, "relu2"),
    "bitnet-700m": Shape(1536, 24, 16, 16, 96, 4096, 32000, True, True, "silu", 10000.0, 2048),
    # of bitnet.cpp's claim of a 100B model on one CPU: too large to make whole, see bench/layered.py
    "bitnet-100b": Shape(8192, 72, 64, 64, 128, 45568, 32000, True, True, "silu", 10000.0, 2048),
    "llama-8b": Shape(4096, 32, 32, 8, 128, 14336, 128256, False, False, context=8192),
    "llama-0.4b": Shape(1024, 24, 16, 8, 64, 4096, 32000, False, True, context=8192),
    "llama-3.2-1b": Shape(2048, 16, 32, 8, 64, 8192, 128256, False, True, context=131072),
    "tiny": Shape(256, 2, 4, 2, 64, 768, 512, True, True, "relu2", 10000.0, 512),
    "tiny-llama": Shape(256, 2, 4, 2, 64, 768, 512, False, False, "silu", 10000.0, 512),
}


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor to write: `cols` is the contiguous row length; `rows` is 0 for a vector."""

    name: str
    cols: int
    rows: int
    role: str  # "norm", "weight" or "head"


def tensors(shape: Shape) -> Iterator[Tensor]:
    """Yield every tensor of a model of this shape, in file order."""
    wide, narrow = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    yield Tensor("token_embd.weight", shape.hidden, shape.vocabulary, "head")
    for layer in range(shape.layers):
        rows = [
            Tensor("attn_norm", shape.hidden, 0, "norm"),
            Tensor("attn_q", shape.hidden, wide, "weight"),
            Tensor("attn_k", shape.hidden, narrow, "weight"),
            Tensor("attn_v", shape.hidden, narrow, "weight"),
            Tensor("attn_sub_norm", wide, 0, "norm"),
            Tensor("attn_output", wide, shape.hidden, "weight"),
            Tensor("ffn_norm", shape.hidden, 0, "norm"),
            Tensor("ffn_gate", shape.hidden, shape.feed_forward, "weight"),
            Tensor("ffn_up", shape.hidden, shape.feed_forward, "weight"),
            Tensor("ffn_sub_norm", shape.feed_forward, 0, "norm"),
            Tensor("ffn_down", shape.feed_forward, shape.hidden, "weight"),
        ]
        for row in rows:
            if shape.bitnet or "sub_norm" not in row.name:
                yield Tensor(f"blk.{layer}.{row.name}.weight", row.cols, row.rows, row.role)
    yield Tensor("output_norm.weight", shape.hidden, 0, "norm")
    if not shape.tied:
        yield Tensor("output.weight", shape.hidden, shape.vocabulary, "head")


def parameters(shape: Shape) -> int:
    """Return the number of weights of a model of this shape."""
    return sum(tensor.cols * max(1, tensor.rows) for tensor in tensors(shape))
