"""The loss at the tokens that are learned: trl's own numbers, from fewer logits."""

import pytest
import torch
from trl.kernels.chunked_logprob import ChunkedLogProbFunction
from trl.trainer import utils
from trl.trainer.utils import add_fused_lm_head
from tuning import batches, tiny

from backend.train import costs
from backend.train.loop import head

OUTPUTS = ("log_probs", "entropy", "is_top1")


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """Have it in place for a test and gone behind it."""
    for name in ("_ChunkedLogProbFunction", "_use_triton"):
        monkeypatch.setattr(utils, name, getattr(utils, name))
    head.install()


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("biased", [False, True])
def test_numbers_and_gradients_are_those_of_trl(monkeypatch, biased, scale):
    monkeypatch.setattr(costs, "_TILE", 3 * 50)  # three tokens at once
    generator = torch.Generator().manual_seed(4)

    def drawn(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    hidden, weight = drawn(10, 16).requires_grad_(), drawn(50, 16)
    bias = drawn(50) if biased else None
    targets = torch.randint(0, 50, (10,), generator=generator)
    targets[:5] = (hidden @ weight.T + (bias if biased else 0)).argmax(-1)[:5]
    said, shares = [], drawn(10)
    for function in (head.Scores, ChunkedLogProbFunction):
        given = hidden, weight, bias, targets, 1.0, 32, None, scale, OUTPUTS
        log_p, entropy, _, _, top = function.apply(*given)
        (gradient,) = torch.autograd.grad(log_p.double() @ shares, hidden)
        said.append((log_p, entropy, top, gradient))
    ours, theirs = said
    assert torch.equal(ours[2], theirs[2])
    assert 5 <= ours[2].sum() < 10
    for mine, wanted in zip(ours, theirs, strict=True):
        assert torch.allclose(
            mine.double(), wanted.double(), rtol=1e-5, atol=1e-5
        )  # theirs: float32


@pytest.mark.parametrize("learns", [False, True])
def test_masked_tokens_have_no_logits_and_the_loss_is_the_model_s_own(monkeypatch, learns):
    rows = []
    apply = head.Scores.apply
    monkeypatch.setattr(
        head.Scores, "apply", lambda hidden, *more: rows.append(len(hidden)) or apply(hidden, *more)
    )
    model, ids = tiny(), batches(1, rows=3, length=20)[0]
    model.lm_head.requires_grad_(learns)
    labels = ids.clone()
    labels[:, :15] = -100
    wanted = model(input_ids=ids, labels=labels).loss
    add_fused_lm_head(model, outputs=OUTPUTS)
    loss = model(input_ids=ids, labels=labels, fused_lm_head=True).loss
    assert rows == [3 * 5]
    assert loss.item() == pytest.approx(wanted.item(), rel=1e-6)
    grads = []
    for value in (loss, wanted):
        model.zero_grad()
        value.backward()
        grads.append({n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad})
    for name, grad in grads[0].items():
        assert (grad - grads[1][name]).norm() <= 1e-5 * grads[1][name].norm(), name
    labels[:] = -100
    nothing = model(input_ids=ids, labels=labels, fused_lm_head=True)
    assert nothing.loss == 0
    nothing.loss.backward()
