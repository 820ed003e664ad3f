"""Headers of models by their shape alone: of published ones whose numbers are known, and of usual ones."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from backend import quants
from backend.errors import SternaError
from backend.fit.model import HEAD, TABLE, Model, read_model
from backend.gguf import Metadata, TensorInfo

_QK_NORMS = ("qwen3",)  # whose queries and keys are normalised, head by head
_SUB_NORMS = ("bitnet", "bitnet-b1.58", "bitnet-25")


@dataclass(frozen=True, slots=True)
class Shape:
    """A dense decoder. Widths in values; `head` is that of one attention head.

    `matrix` and `table` are the types of its matrices and of the table of embeddings.
    """

    embedding: int
    layers: int
    feed_forward: int
    heads: int
    kv_heads: int
    head: int
    vocabulary: int
    tied: bool
    context: int = 131072
    arch: str = "llama"
    matrix: str = "F16"
    table: str = "F16"


@dataclass(frozen=True, slots=True)
class _Made:
    metadata: Metadata
    tensors: Mapping[str, TensorInfo]


def shaped(shape: Shape) -> Model:
    """Return the model of a shape, as a header of it would be read."""
    arch = shape.arch
    numbers = {
        "block_count": shape.layers,
        "embedding_length": shape.embedding,
        "feed_forward_length": shape.feed_forward,
        "attention.head_count": shape.heads,
        "attention.head_count_kv": shape.kv_heads,
        "attention.key_length": shape.head,
        "attention.value_length": shape.head,
        "context_length": shape.context,
        "rope.dimension_count": shape.head,
    }
    data = Metadata.of(
        {"general.architecture": arch, **{f"{arch}.{name}": n for name, n in numbers.items()}}
    )
    types = {TABLE: shape.table, HEAD: shape.table}
    tensors = {
        name: _tensor(name, size, types.get(name, shape.matrix))
        for name, size in _tensors(shape).items()
    }
    return read_model(_Made(data, tensors))


def _tensors(shape: Shape) -> dict[str, tuple[int, ...]]:
    width, wide = shape.embedding, shape.heads * shape.head
    narrow = shape.kv_heads * shape.head
    layer: dict[str, tuple[int, ...]] = {
        "attn_norm": (width,),
        "attn_q": (width, wide),
        "attn_k": (width, narrow),
        "attn_v": (width, narrow),
        "attn_output": (wide, width),
        "ffn_norm": (width,),
        "ffn_gate": (width, shape.feed_forward),
        "ffn_up": (width, shape.feed_forward),
        "ffn_down": (shape.feed_forward, width),
    }
    if shape.arch in _QK_NORMS:
        layer |= {"attn_q_norm": (shape.head,), "attn_k_norm": (shape.head,)}
    if shape.arch in _SUB_NORMS:
        layer |= {"attn_sub_norm": (wide,), "ffn_sub_norm": (shape.feed_forward,)}
    all_: dict[str, tuple[int, ...]] = {
        TABLE: (width, shape.vocabulary),
        "output_norm.weight": (width,),
    }
    for i in range(shape.layers):
        all_ |= {f"blk.{i}.{name}.weight": size for name, size in layer.items()}
    if not shape.tied:
        all_[HEAD] = (width, shape.vocabulary)
    return all_


def _tensor(name: str, shape: tuple[int, ...], type_name: str) -> TensorInfo:
    kind = quants.type_named(type_name if len(shape) > 1 else "F32")
    size = quants.tensor_bytes(kind, shape) or 0
    return TensorInfo(name, shape, kind.id, kind.name, 0, size, 0, True)


# Shapes of models as people make them, by parameters; between them the widths are stretched. (Llama 3,
# Qwen 2.5 and 3, SmolLM 2, Mistral: their published configurations.) The feed-forward follows.
_TYPICAL = (
    (135e6, Shape(576, 30, 0, 9, 3, 64, 49152, True)),
    (600e6, Shape(1024, 28, 0, 8, 8, 128, 151936, True)),
    (1.24e9, Shape(2048, 16, 0, 32, 8, 64, 128256, True)),
    (4e9, Shape(2560, 36, 0, 20, 8, 128, 151936, True)),
    (8.03e9, Shape(4096, 32, 0, 32, 8, 128, 128256, False)),
    (14.8e9, Shape(5120, 40, 0, 40, 8, 128, 151936, False)),
    (32.8e9, Shape(5120, 64, 0, 40, 8, 128, 151936, False)),
    (70.6e9, Shape(8192, 80, 0, 64, 8, 128, 128256, False)),
    (123e9, Shape(12288, 88, 0, 96, 8, 128, 32768, False)),
    (405e9, Shape(16384, 126, 0, 128, 8, 128, 128256, False)),
)


@lru_cache(maxsize=64)
def typical(params: int) -> Model:
    """Return a dense model of about so many parameters, shaped as people shape them, in F16.

    The widths come from the nearest published model; the feed-forward takes up the difference.
    Raises SternaError for a number that no such model has.
    """
    if not 10_000_000 <= params <= 4_000_000_000_000:
        raise SternaError(
            "bad_argument",
            f"A model of {params:,} parameters is not among those that one can tell about.",
            "Give a number from 10M to 4000B, as in --params 8B.",
        )
    of, near = min(_TYPICAL, key=lambda row: abs(math.log(row[0] / params)))
    stretch = math.sqrt(params / of)
    width = near.embedding
    if not 0.75 < stretch < 1.33:  # far from all of them
        width = max(256, round(width * stretch / 256) * 256)
    vocabulary = min(near.vocabulary, 32000) if params < of / 2 else near.vocabulary
    heads = max(1, width // near.head)
    kv_heads = min(near.kv_heads, heads)
    tables = vocabulary * width * (1 if near.tied else 2)
    attention = 2 * width * (heads + kv_heads) * near.head
    wanted = (params - tables) / near.layers - attention
    return shaped(
        replace(
            near,
            embedding=width,
            heads=heads,
            kv_heads=kv_heads,
            vocabulary=vocabulary,
            feed_forward=max(256, round(wanted / (3 * width) / 256) * 256),
        )
    )
