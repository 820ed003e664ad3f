"""Models of any size whose weights are all zero and take no room on the disk: holes of a file."""

import json
import os
import struct
from pathlib import Path

from checkpoints import byte_level, save_tokenizer

from backend.gguf.writing import Blueprint, encode, layout, planned_bytes
from backend.quants import type_named

WIDTH, WIDE, VOCABULARY = 1024, 4096, 299


def _shapes(layers):
    """Yield (name in a checkpoint, name in a GGUF file, rows, columns); one row: a vector."""
    yield "model.embed_tokens.weight", "token_embd.weight", VOCABULARY, WIDTH
    yield "lm_head.weight", "output.weight", VOCABULARY, WIDTH
    yield "model.norm.weight", "output_norm.weight", 1, WIDTH
    for i in range(layers):
        there, here = f"model.layers.{i}.", f"blk.{i}."
        for name, short, rows, cols in (
            ("self_attn.q_proj", "attn_q", WIDTH, WIDTH),
            ("self_attn.k_proj", "attn_k", WIDTH, WIDTH),
            ("self_attn.v_proj", "attn_v", WIDTH, WIDTH),
            ("self_attn.o_proj", "attn_output", WIDTH, WIDTH),
            ("mlp.gate_proj", "ffn_gate", WIDE, WIDTH),
            ("mlp.up_proj", "ffn_up", WIDE, WIDTH),
            ("mlp.down_proj", "ffn_down", WIDTH, WIDE),
            ("input_layernorm", "attn_norm", 1, WIDTH),
            ("post_attention_layernorm", "ffn_norm", 1, WIDTH),
        ):
            yield f"{there}{name}.weight", f"{here}{short}.weight", rows, cols


def _extend(path, size):
    os.truncate(path, size)
    return Path(path)


def sparse_gguf(path, layers, kind="F16"):
    """Write a Llama of so many layers (a layer has about 33 MB in half precision)."""
    numbers = {"block_count": layers, "context_length": 512, "embedding_length": WIDTH,
               "feed_forward_length": WIDE, "attention.head_count": 8}  # fmt: skip
    pairs = {"general.architecture": "llama", **{f"llama.{k}": v for k, v in numbers.items()}}
    encoded = {key: encode(value) for key, value in pairs.items()}
    tensors = [
        Blueprint(name, (cols, rows) if rows > 1 else (cols,), type_named(kind if rows > 1 else "F32"))
        for _, name, rows, cols in _shapes(layers)
    ]  # fmt: skip
    Path(path).write_bytes(layout(encoded, tensors, 32))
    return _extend(path, planned_bytes(encoded, tensors))


def sparse_checkpoint(folder, layers):
    """Write the same in BF16 as a checkpoint."""
    folder = Path(folder)
    folder.mkdir()
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": WIDTH,
              "intermediate_size": WIDE, "num_hidden_layers": layers, "num_attention_heads": 8,
              "num_key_value_heads": 8, "vocab_size": VOCABULARY, "max_position_embeddings": 512,
              "rms_norm_eps": 1e-5, "tie_word_embeddings": False}  # fmt: skip
    (folder / "config.json").write_text(json.dumps(config))
    save_tokenizer(folder, byte_level(size=VOCABULARY))
    listed, at = {}, 0
    for name, _, rows, cols in _shapes(layers):
        shape = [rows, cols] if rows > 1 else [cols]
        listed[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [at, at + 2 * rows * cols]}
        at += 2 * rows * cols
    head = json.dumps(listed).encode()
    head += b" " * (-len(head) % 8)
    path = folder / "model.safetensors"
    path.write_bytes(struct.pack("<Q", len(head)) + head)
    _extend(path, 8 + len(head) + at)
    return folder
