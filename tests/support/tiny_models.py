"""Tiny whole models with random weights, with the float weights they mean, for oracles."""

from dataclasses import dataclass, field
from pathlib import Path

import gguf
import numpy as np
from gguf_writing import Raw, write_gguf
from ternary import TERNARY, ternary_bytes
from tiny_vocabularies import byte_level, sentencepiece

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
_FILE_TYPES = {
    "F32": 0, "F16": 1, "Q4_0": 2, "Q4_1": 3, "Q8_0": 7, "Q5_0": 8, "Q5_1": 9, "BF16": 32,
    "TQ1_0": 36, "TQ2_0": 37, "I2_S": 40,
}  # fmt: skip


@dataclass
class TinyModel:
    """A written model. `weights`: float32 by tensor name, (rows, cols), exactly what the file means."""

    path: Path
    arch: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    ffn: int
    vocab: int
    eps: float
    rope_base: float
    metadata: dict
    weights: dict[str, np.ndarray] = field(repr=False)


def tiny_llama(path, *, hidden=64, layers=2, heads=4, kv_heads=2, ffn=128, vocab="bpe",
               vocab_size=None, context=256, seed=0, tensor_type="F32", embedding_type=None,
               tied=False, metadata=None):  # fmt: skip
    """Write a llama with random weights. `metadata` overrides keys; None as a value drops one.

    `tensor_type` is any that the gguf package can make (F32, F16, BF16, Q8_0, Q4_0 …) or a ternary
    one (hidden and ffn then multiples of 256). `vocab` is `bpe` or `spm`, filled up to `vocab_size`.
    """
    return _build(path, "llama", hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads,
                  ffn=ffn, vocab=vocab, vocab_size=vocab_size, context=context, seed=seed,
                  tensor_type=tensor_type, embedding_type=embedding_type or tensor_type,
                  tied=tied, sub_norms=False, metadata=metadata)  # fmt: skip


def tiny_bitnet(path, *, hidden=256, layers=2, heads=4, kv_heads=2, ffn=512, vocab="bpe",
                vocab_size=None, context=256, seed=0, tensor_type="I2_S", embedding_type="F16",
                arch=None, squared=True, metadata=None):  # fmt: skip
    """Write a BitNet b1.58 with random ternary weights, sub-norms and tied embeddings.

    I2_S files get the architecture name of the fork that makes them, others that of llama.cpp.
    """
    arch = arch or ("bitnet-b1.58" if tensor_type == "I2_S" else "bitnet")
    act = {f"{arch}.hidden_act": "relu2" if squared else "silu"}
    return _build(path, arch, hidden=hidden, layers=layers, heads=heads, kv_heads=kv_heads,
                  ffn=ffn, vocab=vocab, vocab_size=vocab_size, context=context, seed=seed,
                  tensor_type=tensor_type, embedding_type=embedding_type, tied=True,
                  sub_norms=True, metadata={**act, **(metadata or {})})  # fmt: skip


def _build(path, arch, *, hidden, layers, heads, kv_heads, ffn, vocab, vocab_size, context, seed,
           tensor_type, embedding_type, tied, sub_norms, metadata):  # fmt: skip
    rng = np.random.default_rng(seed)
    words = (byte_level if vocab == "bpe" else sentencepiece)(vocab_size)
    size = len(words["tokenizer.ggml.tokens"])
    eps, base = 1e-5, 10000.0
    kv = {
        "general.architecture": arch,
        "general.name": f"tiny {arch}",
        "general.file_type": _FILE_TYPES[tensor_type],
        f"{arch}.vocab_size": size,
        f"{arch}.context_length": context,
        f"{arch}.embedding_length": hidden,
        f"{arch}.block_count": layers,
        f"{arch}.feed_forward_length": ffn,
        f"{arch}.attention.head_count": heads,
        f"{arch}.attention.head_count_kv": kv_heads,
        f"{arch}.attention.layer_norm_rms_epsilon": eps,
        f"{arch}.rope.dimension_count": hidden // heads,
        f"{arch}.rope.freq_base": base,
        "tokenizer.chat_template": CHATML,
        **words,
        **(metadata or {}),
    }
    weights, stored = {}, {}
    for name, shape, role in _plan(hidden, layers, heads, kv_heads, ffn, size, tied, sub_norms):
        kind = {"norm": "F32", "table": embedding_type, "weight": tensor_type}[role]
        values = rng.standard_normal(shape).astype(np.float32)
        values = 1 + 0.1 * values if role == "norm" else values * np.float32(shape[-1] ** -0.5)
        stored[name], weights[name] = _store(values, kind)
    kept = {key: value for key, value in kv.items() if value is not None}
    write_gguf(path, kept, stored)
    return TinyModel(
        Path(path), arch, layers, hidden, heads, kv_heads, ffn, size, eps, base, kept, weights
    )


def _plan(hidden, layers, heads, kv_heads, ffn, size, tied, sub_norms):
    """Name, shape (rows first) and role of every tensor."""
    kv_width = hidden // heads * kv_heads
    yield "token_embd.weight", (size, hidden), "table"
    for i in range(layers):
        p = f"blk.{i}."
        yield p + "attn_norm.weight", (hidden,), "norm"
        yield p + "attn_q.weight", (hidden, hidden), "weight"
        yield p + "attn_k.weight", (kv_width, hidden), "weight"
        yield p + "attn_v.weight", (kv_width, hidden), "weight"
        yield p + "attn_output.weight", (hidden, hidden), "weight"
        yield p + "ffn_norm.weight", (hidden,), "norm"
        yield p + "ffn_gate.weight", (ffn, hidden), "weight"
        yield p + "ffn_up.weight", (ffn, hidden), "weight"
        yield p + "ffn_down.weight", (hidden, ffn), "weight"
        if sub_norms:
            yield p + "attn_sub_norm.weight", (hidden,), "norm"
            yield p + "ffn_sub_norm.weight", (ffn,), "norm"
    yield "output_norm.weight", (hidden,), "norm"
    if not tied:
        yield "output.weight", (size, hidden), "table"


def _store(values, kind):
    """Return (what to write, the float32 values that it means)."""
    if kind in TERNARY:
        data, meant = ternary_bytes(values, TERNARY[kind])
        return Raw(TERNARY[kind], values.shape, data), meant
    type_ = gguf.GGMLQuantizationType[kind]
    if type_ == gguf.GGMLQuantizationType.F32:
        return values, values
    data = gguf.quants.quantize(values, type_)
    meant = gguf.quants.dequantize(data, type_).reshape(values.shape).astype(np.float32)
    return Raw(int(type_), values.shape, data.tobytes()), meant
