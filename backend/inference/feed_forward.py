"""The feed-forward block of a layer, step by step: plain, or a mixture of experts."""

from functools import cached_property

from backend.inference.building import Builder
from backend.inference.hyper import Experts
from ext.matrix import MatrixRef
from ext.steps import Buffer


class FeedForward:
    """Adds x += Wdown (act(Wgate n) * Wup n), n = norm(x), or the sum of that over a few experts."""

    def __init__(self, b: Builder) -> None:
        self._b = b

    def add(self, layer: int) -> None:
        """Add the steps of one layer."""
        p, experts = f"blk.{layer}.", self._b.h.experts
        if experts is not None and p + "ffn_gate_inp.weight" in self._b.w:
            self._mixture(p, experts)
        else:
            self._plain(p)

    @cached_property
    def _pair(self) -> list[Buffer]:
        """Gate and up of a plain layer."""
        return [self._b.engine.buffer(self._b.h.feed_forward) for _ in range(2)]

    def _plain(self, p: str) -> None:
        b, h, w, width = self._b, self._b.h, self._b.w, self._b.h.feed_forward
        gate, up = self._pair
        gate_and_up = w.pair(p + "ffn_gate.weight", p + "ffn_up.weight", width, h.embedding)
        down = w.matrix(p + "ffn_down.weight", h.embedding, width)
        biases = [w.optional_vector(p + f"ffn_{name}.bias", width) for name in ("gate", "up")]

        b.norm(p + "ffn_norm.weight", gate_and_up)
        b.linear(gate_and_up, [gate, up], biases)
        b.engine.glu(gate, up, h.gate)
        sub_norm = w.vector(p + "ffn_sub_norm.weight", width) if h.traits.sub_norms else None
        b.engine.norm(gate, sub_norm, h.eps, [down], scale=h.residual_scale)
        b.project(down, p + "ffn_down.bias", p + "post_ffw_norm.weight")

    # --- experts -------------------------------------------------------------------------------

    @cached_property
    def _logits(self) -> Buffer:
        experts = self._b.h.experts
        return self._b.engine.buffer(experts.count if experts else 1)

    @cached_property
    def _shared(self) -> tuple[Buffer, Buffer, Buffer]:
        """Gate and up of the expert that every token passes, and how much of it is wanted."""
        experts, buffer = self._b.h.experts, self._b.engine.buffer
        width = experts.shared if experts else 1
        return buffer(width), buffer(width), buffer(1)

    def _mixture(self, p: str, e: Experts) -> None:
        b, h, w = self._b, self._b.h, self._b.w
        router = w.matrix(p + "ffn_gate_inp.weight", e.count, h.embedding)
        gate = w.experts(p + "ffn_gate_exps.weight", e.count, e.width, h.embedding)
        up = w.experts(p + "ffn_up_exps.weight", e.count, e.width, h.embedding)
        down = w.experts(p + "ffn_down_exps.weight", e.count, h.embedding, e.width)
        shared = self._shared_matrices(p, e)

        # x += sum of weight_i * Wdown_i (act(Wgate_i n) * Wup_i n), weights the softmax of the router
        b.norm(p + "ffn_norm.weight", [router, gate[0], up[0], *shared[:-1]])
        b.linear([router], [self._logits])
        if shared:
            wide, up_buffer, share = self._shared
            b.linear(shared[:2], [wide, up_buffer])
            if len(shared) > 3:
                b.linear([shared[2]], [share])
        scale = e.scale * h.residual_scale
        step = b.engine.experts(
            self._logits, b.x, gate, up, down, e.used, e.normalised, scale, h.gate
        )
        for inner, name in enumerate(("gate", "down")):
            b.mixtures[p + f"ffn_{name}_exps.weight"] = step, inner
        b.mixtures[p + "ffn_up_exps.weight"] = step, 0
        b.read += sum(m.bytes for m in (*gate, *up, *down)) * e.used // e.count

        # x += sigmoid(share) * Wdown (act(Wgate n) * Wup n), of the shared expert
        if shared:
            b.engine.glu(wide, up_buffer, h.gate)
            gated = share if len(shared) > 3 else None
            b.engine.norm(wide, None, h.eps, [shared[-1]], scale=h.residual_scale, gate=gated)
            b.linear([shared[-1]], [b.x], add=True)

    def _shared_matrices(self, p: str, e: Experts) -> list[MatrixRef]:
        """Return Wgate, Wup, where there is one the row that tells the share, and Wdown."""
        h, w = self._b.h, self._b.w
        if not e.shared:
            return []
        found = [
            w.matrix(p + f"ffn_{name}_shexp.weight", e.shared, h.embedding)
            for name in ("gate", "up")
        ]
        if p + "ffn_gate_inp_shexp.weight" in w:
            found.append(w.matrix(p + "ffn_gate_inp_shexp.weight", 1, h.embedding))
        return [*found, w.matrix(p + "ffn_down_shexp.weight", h.embedding, e.shared)]
