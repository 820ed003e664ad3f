"""The feed-forward block of a layer, step by step."""

from backend.inference.building import Builder


class FeedForward:
    """Adds x += Wdown (act(Wgate n) * Wup n), n = norm(x), layer by layer."""

    def __init__(self, b: Builder) -> None:
        self._b = b
        self._gate, self._up = (b.engine.buffer(b.h.feed_forward) for _ in range(2))

    def add(self, layer: int) -> None:
        """Add the steps of one layer."""
        b, h, w, p = self._b, self._b.h, self._b.w, f"blk.{layer}."
        width = h.feed_forward
        gate_and_up = w.pair(p + "ffn_gate.weight", p + "ffn_up.weight", width, h.embedding)
        down = w.matrix(p + "ffn_down.weight", h.embedding, width)
        biases = [w.optional_vector(p + f"ffn_{name}.bias", width) for name in ("gate", "up")]

        b.norm(p + "ffn_norm.weight", gate_and_up)
        b.linear(gate_and_up, [self._gate, self._up], biases)
        b.engine.glu(self._gate, self._up, h.gate)
        sub_norm = w.vector(p + "ffn_sub_norm.weight", width) if h.traits.sub_norms else None
        b.engine.norm(self._gate, sub_norm, h.eps, [down], scale=h.residual_scale)
        b.project(down, p + "ffn_down.bias", p + "post_ffw_norm.weight")
