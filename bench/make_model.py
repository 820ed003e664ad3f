"""Write a GGUF with random weights at a real shape: `python -m bench.make_model SHAPE TYPE OUT`.

Its answers are noise and its cost is that of the real model. Norms are one and the weights are
spread so that each product keeps its input's size, so nothing overflows at any depth.
Memory stays bounded: tensors are made and written in pieces.
"""

import argparse
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import gguf
import numpy as np

from bench.random_blocks import (
    F32,
    I2_S,
    TYPES,
    Bytes,
    block_values,
    i2_s_tail,
    nbytes,
    random_blocks,
)
from bench.shapes import SHAPES, Shape, Tensor, tensors
from bench.vocabulary import BOS, CHAT_TEMPLATE, EOS, EOT, make_vocabulary

_PIECE = 1 << 24  # weights made at a time; a multiple of every block
_ALIGNMENT = 32
_FILE_TYPES = {
    "F32": 0, "F16": 1, "BF16": 32, "Q4_0": 2, "Q4_1": 3, "Q5_0": 8, "Q5_1": 9, "Q8_0": 7, "Q2_K": 10,
    "Q3_K": 12, "Q4_K": 15, "Q5_K": 17, "Q6_K": 18, "IQ4_NL": 25, "IQ4_XS": 30, "MXFP4": 38,
    "IQ2_XXS": 19, "IQ2_XS": 20, "IQ2_S": 28, "IQ3_XXS": 23, "IQ3_S": 26,
    "TQ1_0": 36, "TQ2_0": 37, "I2_S": 40, "Q4_K_M": 15, "Q5_K_M": 17, "Q3_K_M": 12,
}  # fmt: skip
# Mixes: what most tensors have, and what the more delicate ones have (see `_delicate`).
MIXES = {"Q4_K_M": ("Q4_K", "Q6_K"), "Q5_K_M": ("Q5_K", "Q6_K"), "Q3_K_M": ("Q3_K", "Q4_K")}
NAMES = (*TYPES, *MIXES)


def _delicate(name: str, layers: int) -> bool:
    """Whether a `_M` mix gives a tensor more bits: values and down projections of the first eighth of
    the layers, of the last, and of every third between.
    """
    _, number, kind, *_ = [*name.split("."), "", ""]
    if kind not in ("attn_v", "ffn_down"):
        return False
    layer = int(number)
    first, last = layers // 8, 7 * layers // 8
    return layer < first or layer >= last or (layer - first) % 3 == 2


def architecture(shape: Shape, type_name: str) -> str:
    """Return `general.architecture`: I2_S BitNet files come from the fork that names it otherwise."""
    if not shape.bitnet:
        return "llama"
    return "bitnet-b1.58" if type_name == "I2_S" else "bitnet"


def default_head(type_name: str) -> str:
    """Return the type of embeddings and output matrix that goes with a weight type."""
    return type_name if type_name in ("F32", "F16", "BF16", "Q8_0") else "Q6_K"


def make_model(
    shape: Shape, type_name: str, out: Path, head: str | None = None, seed: int = 1
) -> None:
    """Write the file. The same seed gives the same bytes.

    Raises ValueError when a row does not fill whole blocks of the type.
    """
    head = head or default_head(type_name)
    most, best = MIXES.get(type_name, (type_name, type_name))
    kinds = {"norm": F32, "weight": TYPES[most], "head": TYPES[head]}
    plan = [
        (t, TYPES[best] if _delicate(t.name, shape.layers) else kinds[t.role])
        for t in tensors(shape)
    ]
    for tensor, kind in plan:
        if tensor.cols % block_values(kind):
            raise ValueError(f"{tensor.name}: rows of {tensor.cols} do not fill blocks of its type")
    _write_header(shape, type_name, out, plan)
    rng = np.random.Generator(np.random.SFC64(seed))
    with out.open("ab") as file:
        file.write(bytes(-file.tell() % _ALIGNMENT))
        for tensor, kind in plan:
            size = 0
            for piece in _pieces(rng, tensor, kind):
                size += file.write(piece.data)
            file.write(bytes(-size % _ALIGNMENT))


def _pieces(rng: np.random.Generator, tensor: Tensor, kind: int) -> Iterator[Bytes]:
    if tensor.role == "norm":
        yield np.ones(tensor.cols, np.float32).view(np.uint8)
        return
    # Embeddings feed a norm, so their size is free: this one keeps the logits of a tied output small.
    spread = 0.02 if tensor.role == "head" else tensor.cols**-0.5
    left = tensor.cols * tensor.rows
    while left:
        count = min(left, _PIECE)
        yield random_blocks(rng, kind, count, spread)
        left -= count
    if kind == I2_S:
        yield i2_s_tail(spread)


def _write_header(shape: Shape, type_name: str, out: Path, plan: list[tuple[Tensor, int]]) -> None:
    writer = gguf.GGUFWriter(out, architecture(shape, type_name))
    writer.add_name("Random weights, for benchmarks")
    writer.add_file_type(_FILE_TYPES[type_name])
    writer.add_quantization_version(gguf.GGML_QUANT_VERSION)
    writer.add_vocab_size(shape.vocabulary)
    writer.add_context_length(shape.context)
    writer.add_embedding_length(shape.hidden)
    writer.add_block_count(shape.layers)
    writer.add_feed_forward_length(shape.feed_forward)
    writer.add_head_count(shape.heads)
    writer.add_head_count_kv(shape.kv_heads)
    writer.add_key_length(shape.head_dim)
    writer.add_value_length(shape.head_dim)
    writer.add_rope_dimension_count(shape.head_dim)
    writer.add_rope_freq_base(shape.rope_base)
    writer.add_layer_norm_rms_eps(1e-5)
    if shape.bitnet:
        writer.add_string(f"{writer.arch}.hidden_activation", shape.activation)
    _add_tokenizer(writer, shape.vocabulary)
    for tensor, kind in plan:
        dims = (tensor.rows, tensor.cols) if tensor.rows else (tensor.cols,)
        count = tensor.cols * max(1, tensor.rows)
        # The package does not know I2_S; it writes the number all the same.
        writer.add_tensor_info(tensor.name, dims, np.dtype(np.float32), nbytes(kind, count), kind)  # type: ignore[arg-type]
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_ti_data_to_file()
    writer.close()


def _add_tokenizer(writer: gguf.GGUFWriter, size: int) -> None:
    vocabulary = make_vocabulary(size)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("llama-bpe")
    writer.add_token_list(vocabulary.tokens)
    writer.add_token_types(vocabulary.types)
    writer.add_token_merges(vocabulary.merges)
    writer.add_bos_token_id(vocabulary.id_of(BOS))
    writer.add_eos_token_id(vocabulary.id_of(EOS))
    writer.add_eot_token_id(vocabulary.id_of(EOT))
    writer.add_add_bos_token(True)
    writer.add_chat_template(CHAT_TEMPLATE)


def main(arguments: list[str] | None = None) -> int:
    """Run the command line; return its exit status."""
    parser = argparse.ArgumentParser(prog="bench.make_model", description=__doc__)
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("type", choices=NAMES)
    parser.add_argument("out", type=Path)
    parser.add_argument("--head", choices=TYPES, help="type of embeddings and output matrix")
    parser.add_argument("--layers", type=int, help="only so many layers, to extrapolate from")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(arguments)
    shape = SHAPES[options.shape]
    if options.layers:
        shape = replace(shape, layers=options.layers)
    make_model(shape, options.type, options.out, options.head, options.seed)
    print(f"{options.out}: {options.out.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
