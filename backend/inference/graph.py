"""The transformer, step by step. This page is the model; `ext.engine` only runs it.

Each line adds a step that all threads run together. A step `norm` also prepares (quantises) the input
of the products that follow it, once for all of them.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.inference.hyper import Hyper
from backend.inference.weights import Weights
from ext.engine import Buffer, Engine
from ext.matrix import MatrixRef


@dataclass(frozen=True, slots=True)
class Graph:
    """What a caller needs of the finished program."""

    logits: Buffer
    layer_bytes: int  # of the matrices of all layers: what a token reads beside the output matrix
    head: MatrixRef


def build(engine: Engine, h: Hyper, w: Weights, context: int, kv: str) -> Graph:
    """Describe the model to the engine, with a cache of `context` positions of type `kv` (f32, f16, q8_0)."""
    factors = w.optional_vector("rope_freqs.weight", h.rope_width // 2)
    inverse = h.rope_inverse(factors)
    q_width, k_width, v_width = (
        h.heads * h.key_width,
        h.kv_heads * h.key_width,
        h.kv_heads * h.value_width,
    )
    out_width = h.heads * h.value_width
    read = 0

    x = engine.buffer(h.embedding)
    q, k, v = engine.buffer(q_width), engine.buffer(k_width), engine.buffer(v_width)
    mixed = engine.buffer(out_width)
    gate, up = engine.buffer(h.feed_forward), engine.buffer(h.feed_forward)
    logits = engine.buffer(h.vocab)

    table = w.matrix("token_embd.weight", h.vocab, h.embedding, table=True)
    engine.embed(table, x)
    # Tied embeddings are read by rows here and packed for the product at the end; packed first, for
    # then its file's pages are gone before the rest needs memory.
    output = "output.weight" if "output.weight" in w else "token_embd.weight"
    head = w.matrix(output, h.vocab, h.embedding, output=True)
    for layer in range(h.layers):
        p = f"blk.{layer}."
        wq = w.matrix(p + "attn_q.weight", q_width, h.embedding)
        wk = w.matrix(p + "attn_k.weight", k_width, h.embedding)
        wv = w.matrix(p + "attn_v.weight", v_width, h.embedding)
        wo = w.matrix(p + "attn_output.weight", h.embedding, out_width)
        w_gate = w.matrix(p + "ffn_gate.weight", h.feed_forward, h.embedding)
        w_up = w.matrix(p + "ffn_up.weight", h.feed_forward, h.embedding)
        w_down = w.matrix(p + "ffn_down.weight", h.embedding, h.feed_forward)
        keys = engine.cache(h.kv_heads, context, h.key_width, kv, True)
        values = engine.cache(h.kv_heads, context, h.value_width, kv, False)

        # x += Wo attention(rope(Wq n), rope(Wk n), Wv n), n = norm(x)
        engine.norm(x, w.vector(p + "attn_norm.weight", h.embedding), h.eps, [wq, wk, wv])
        biases = [
            w.optional_vector(p + f"attn_{n}.bias", b.width)
            for n, b in (("q", q), ("k", k), ("v", v))
        ]
        engine.linear([wq, wk, wv], [q, k, v], biases)
        engine.rope(q, k, v, keys, values, inverse, h.traits.neox)
        engine.attend(q, mixed, keys, values, h.key_width**-0.5)
        engine.norm(mixed, _sub_norm(w, h, p + "attn_sub_norm.weight", out_width), h.eps, [wo])
        engine.linear([wo], [x], [w.optional_vector(p + "attn_output.bias", h.embedding)], add=True)

        # x += Wdown (act(Wgate n) * Wup n), n = norm(x)
        engine.norm(x, w.vector(p + "ffn_norm.weight", h.embedding), h.eps, [w_gate, w_up])
        engine.linear([w_gate, w_up], [gate, up])
        engine.glu(gate, up, h.squared)
        engine.norm(
            gate, _sub_norm(w, h, p + "ffn_sub_norm.weight", h.feed_forward), h.eps, [w_down]
        )
        engine.linear([w_down], [x], add=True)
        read += sum(m.bytes for m in (wq, wk, wv, wo, w_gate, w_up, w_down))

    engine.norm(x, w.vector("output_norm.weight", h.embedding), h.eps, [head], last_only=True)
    engine.linear([head], [logits], last_only=True)
    engine.finish(h.vocab)
    _refuse_unknown(w, h)
    return Graph(logits=logits, layer_bytes=read, head=head)


def _sub_norm(w: Weights, h: Hyper, name: str, width: int) -> npt.NDArray[np.float32] | None:
    return w.vector(name, width) if h.traits.sub_norms else None


def _refuse_unknown(w: Weights, h: Hyper) -> None:
    """A tensor that nobody used is a part of the model that we would silently leave out."""
    unknown = w.unused()
    if unknown:
        raise SternaError(
            "unsupported_arch",
            f"The file has tensors that Sterna's engine does not know for {h.arch}, such as {unknown[0]}.",
            "An endpoint such as Ollama or llama-server may serve it.",
        )
