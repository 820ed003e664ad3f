"""The attention block of a layer, step by step."""

import numpy as np
import numpy.typing as npt

from backend.inference.building import Builder
from backend.inference.memory import cache_positions
from backend.inference.rope import Angles
from ext.matrix import MatrixRef
from ext.steps import KVCache


class Attention:
    """Adds x += Wo attention(rope(Wq n), rope(Wk n), Wv n), n = norm(x), layer by layer."""

    def __init__(self, b: Builder) -> None:
        h, engine = b.h, b.engine
        self._b = b
        self._widths = (
            h.heads * h.key_width,
            h.kv_heads * h.key_width,
            h.kv_heads * h.value_width,
        )
        self._qkv = [engine.buffer(width) for width in self._widths]
        self._mixed = engine.buffer(h.heads * h.value_width)
        self._near, self._far, self.far_after = self._angles()
        self._local = h.rope.plain(h.local_base) if h.local_base else self._near
        self._rope_scale = h.rope.scale(h.context)

    def add(self, layer: int) -> None:
        """Add the steps of one layer."""
        b, h, w, p = self._b, self._b.h, self._b.w, f"blk.{layer}."
        q, k, v = self._qkv
        projections = self._projections(p)
        wo = w.matrix(p + "attn_output.weight", h.embedding, self._mixed.width)
        window = h.windows[layer]
        keys, values = self._caches(window)

        b.norm(p + "attn_norm.weight", projections)
        b.linear(projections, [q, k, v], self._biases(p))
        self._turn(p, keys, values, local=window > 0)
        b.engine.attend(
            q, self._mixed, keys, values, h.attention_scale, h.attention_cap, window
        )  # fmt: skip
        sub_norm = (
            w.vector(p + "attn_sub_norm.weight", self._mixed.width) if h.traits.sub_norms else None
        )
        b.engine.norm(self._mixed, sub_norm, h.eps, [wo], scale=h.residual_scale)
        b.project(wo, p + "attn_output.bias", p + "post_attention_norm.weight")

    def _angles(self) -> tuple[Angles, Angles | None, int]:
        """Return the angles, those for long contexts and the number of tokens up to which the first hold."""
        rope, w = self._b.h.rope, self._b.w
        half = rope.width // 2
        if rope.kind != "longrope":
            return rope.angles(w.optional_vector("rope_freqs.weight", half)), None, 0
        short = rope.angles(w.vector("rope_factors_short.weight", half))
        long = rope.angles(w.vector("rope_factors_long.weight", half))
        return short, long, rope.original

    def _projections(self, p: str) -> list[MatrixRef]:
        """Return Wq, Wk and Wv, which some files keep as one matrix."""
        h, w, widths = self._b.h, self._b.w, self._widths
        fused = p + "attn_qkv.weight"
        if fused in w:
            return w.parts(fused, list(widths), h.embedding)
        return [
            w.matrix(p + f"attn_{name}.weight", width, h.embedding)
            for name, width in zip("qkv", widths, strict=True)
        ]

    def _biases(self, p: str) -> list[npt.NDArray[np.float32] | None]:
        w, widths = self._b.w, self._widths
        fused = w.optional_vector(p + "attn_qkv.bias", sum(widths))
        if fused is not None:
            return list(np.split(fused, np.cumsum(widths)[:2]))
        return [
            w.optional_vector(p + f"attn_{name}.bias", width)
            for name, width in zip("qkv", widths, strict=True)
        ]

    def _caches(self, window: int) -> tuple[KVCache, KVCache]:
        h, engine = self._b.h, self._b.engine
        positions = cache_positions(window, self._b.context, engine.max_tokens)
        keys = engine.cache(h.kv_heads, positions, h.key_width, self._b.kv, True)
        return keys, engine.cache(h.kv_heads, positions, h.value_width, self._b.kv, False)

    def _turn(self, p: str, keys: KVCache, values: KVCache, local: bool) -> None:
        """Turn queries and keys by their positions; with a window of its own base, always by the same angles."""
        h, w = self._b.h, self._b.w
        q, k, v = self._qkv
        own = local and h.local_base > 0
        norms = [
            w.vector(p + f"attn_{name}_norm.weight", h.key_width) if h.traits.head_norms else None
            for name in "qk"
        ]
        self._b.engine.rope(
            q, k, v, keys, values,
            self._local if own else self._near,
            h.traits.neox,
            1.0 if own else self._rope_scale,
            None if own else self._far,
            norms[0],
            norms[1],
            h.eps,
        )  # fmt: skip
