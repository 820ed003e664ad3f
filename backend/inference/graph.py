"""The transformer, step by step; `attention.py` and `feed_forward.py` are its layers.

Each line adds a step that all threads run together; `ext.engine` only runs them. A step `norm` also
prepares (quantises) the input of the products that follow it, once for all of them.
"""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.inference.attention import Attention
from backend.inference.building import Builder, Place
from backend.inference.feed_forward import FeedForward
from backend.inference.hyper import ENDPOINTS, Hyper
from backend.inference.weights import Weights
from ext.engine import Engine
from ext.matrix import MatrixRef
from ext.steps import Buffer


@dataclass(frozen=True, slots=True)
class Graph:
    """What a caller needs of the finished program.

    `layer_bytes`: of the weights that a token reads beside the output matrix. `far_after`: tokens beyond
    which the cache must be made anew with other RoPE angles (LongRoPE), 0: never. `places`: where tensors
    are used that an adapter may change, `shapes`: theirs, (out, in). `mixtures`: of the matrices of all
    experts the step, and whether their input is that of the step (0) or within it (1).
    """

    logits: Buffer
    layer_bytes: int
    head: MatrixRef
    far_after: int
    places: dict[str, list[Place]]
    shapes: dict[str, tuple[int, int]]
    mixtures: dict[str, tuple[int, int]]


def build(engine: Engine, h: Hyper, w: Weights, context: int, kv: str) -> Graph:
    """Describe the model to the engine, with a cache of `context` positions of type `kv` (f32, f16, q8_0)."""
    b = Builder(engine, h, w, context, kv)
    logits = engine.buffer(h.vocab)
    table = w.matrix("token_embd.weight", h.vocab, h.embedding, table=True)
    b.embed(table, h.embedding_scale)
    # Tied embeddings are read by rows here and packed for the product at the end; packed first, for
    # then its file's pages are gone before the rest needs memory.
    output = "output.weight" if "output.weight" in w else "token_embd.weight"
    head = w.matrix(output, h.vocab, h.embedding, output=True)
    attention, feed_forward = Attention(b), FeedForward(b)
    for layer in range(h.layers):
        attention.add(layer)
        feed_forward.add(layer)
    layer_bytes = b.read

    b.norm("output_norm.weight", [head], last_only=True, scale=1 / h.logit_scale)
    b.linear([head], [logits], last_only=True)
    if h.logit_cap:
        engine.cap(logits, h.logit_cap)
    engine.finish(h.vocab)
    _refuse_unknown(w, h)
    shapes = {name: w.shape(name if name in w else "token_embd.weight") for name in b.places}
    return Graph(logits, layer_bytes, head, attention.far_after, b.places, shapes, b.mixtures)


def _refuse_unknown(w: Weights, h: Hyper) -> None:
    """A tensor that nobody used is a part of the model that we would silently leave out."""
    unknown = w.unused()
    if unknown:
        raise SternaError(
            "unsupported_arch",
            f"The file has tensors that Sterna's engine does not know for {h.arch}, such as {unknown[0]}.",
            ENDPOINTS,
        )
