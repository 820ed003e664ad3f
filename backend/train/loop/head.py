"""The output matrix and the loss, at the tokens that are learned and nowhere else.

trl's own way on a processor makes the logits of every token twice, prompts too, and passes over them some
twenty times. A token's loss -log p(y) has a gradient that is known as soon as its logits are,

    d log p(y) / dh = W_y - sum over v of p(v) W_v,

so it is taken at once: two products where there were three, and logits live for one tile of tokens. It serves a
frozen matrix in plain floats; for others, a matrix that learns for one, trl's function is called.
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd import Function
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
from trl.trainer import utils

from backend.train.costs import scored_at_once

_KNOWN = {"log_probs", "entropy", "is_top1"}


def install() -> None:
    """Let trl's trainer score tokens by this, in this process."""
    utils._ChunkedLogProbFunction = Scores  # type: ignore[assignment,attr-defined]  # private, hence the test
    utils._use_triton = _only_what_is_learned  # type: ignore[attr-defined,assignment]


def _only_what_is_learned(_: torch.device) -> bool:
    """Answer trl's question whether masked tokens are left out. Triton is all that it leaves them out for."""
    return True


class Scores:
    """Stands where trl has its function of autograd."""

    @staticmethod
    def apply(
        hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, temperature: float,
        chunk_size: int, softcap: float | None, logit_scale: float, outputs: tuple[str, ...],
    ) -> tuple[Tensor | None, ...]:  # fmt: skip
        """Return (log p of each target, entropy, None, None, whether it is the likeliest) of N tokens.

        hidden [N, H], weight [V, H], bias [V], targets [N]; the rest is of trl's own signature.
        """
        learns = weight.requires_grad or (bias is not None and bias.requires_grad)
        plain = not learns and softcap is None and temperature == 1 and _KNOWN.issuperset(outputs)
        exact = hidden.dtype == weight.dtype in (torch.float32, torch.float64)
        mixed = torch.is_autocast_enabled(hidden.device.type)
        if plain and exact and not mixed and hidden.device.type == "cpu":
            log_p, entropy, top = _Scored.apply(hidden, weight, bias, targets, logit_scale)  # type: ignore[no-untyped-call]
            return log_p, entropy, None, None, top
        theirs: tuple[Tensor | None, ...] = ChunkedLogProbFunction.apply(  # type: ignore[no-untyped-call]
            hidden, weight, bias, targets, temperature, chunk_size, softcap, logit_scale, outputs
        )
        return theirs


class _Scored(Function):
    """log p, entropy and whether the target is the likeliest; keeps the gradient of log p, [N, H]."""

    @staticmethod
    def forward(
        ctx: Any, hidden: Tensor, weight: Tensor, bias: Tensor | None, targets: Tensor, scale: float
    ) -> tuple[Tensor, Tensor, Tensor]:
        tokens, vocab = len(hidden), len(weight)
        rows = min(scored_at_once(vocab), max(tokens, 1))
        logits, shares = hidden.new_empty(rows, vocab), hidden.new_empty(rows, vocab)
        log_p, entropy = hidden.new_empty(tokens), hidden.new_empty(tokens)
        top = torch.empty(tokens, dtype=torch.bool)
        learns = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if learns else None
        for start in range(0, tokens, rows):
            part = slice(start, min(start + rows, tokens))
            x, y = hidden[part], targets[part]
            z, p = logits[: len(x)], shares[: len(x)]
            torch.mm(x, weight.T, out=z)
            if bias is not None:
                z += bias
            if scale != 1:
                z *= scale
            most, where = z.max(-1, keepdim=True)
            z -= most
            total = torch.exp(z, out=p).sum(-1)
            log_total = total.log()
            log_p[part] = z.gather(-1, y[:, None]).squeeze(-1) - log_total
            entropy[part] = log_total - torch.linalg.vecdot(p, z) / total
            top[part] = where.squeeze(-1) == y
            if gradient is not None:
                mean = torch.mm(p, weight, out=gradient[part])
                mean.div_(-total[:, None]).add_(weight[y])
        if gradient is not None:
            ctx.save_for_backward(gradient if scale == 1 else gradient.mul_(scale))
        ctx.mark_non_differentiable(entropy, top)
        return log_p, entropy, top

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * grads[0][:, None], None, None, None, None
