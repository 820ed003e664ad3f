"""LoRA-FA: A frozen before the first forward pass, its input not kept, the projected gradient."""

import pytest
import torch
from torch.autograd.graph import saved_tensors_hooks
from torch.nn.functional import linear
from tuning import attached, batches, tiny, train

from backend.train.techniques.lora import adapted


def saved_bytes(layer, x):
    """Bytes that one forward pass keeps for the backward pass, each storage once, weights left out."""
    weights = {p.untyped_storage().data_ptr() for p in layer.parameters()}
    kept = {}

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    with saved_tensors_hooks(pack, lambda t: t):
        out = layer(x)
    return sum(kept.values()), out


@pytest.mark.parametrize(("rank", "tokens"), [(4, 16), (8, 64)])
def test_the_input_is_not_kept(rank, tokens):
    """Exactly T r e bytes are kept a matrix (and for LoRA, x beside them)."""
    for name, wanted in (("lora-fa", 0), ("lora", tokens * 32 * 4)):
        _, model = attached(name, rank=rank, base=tiny())
        layer = model.base_model.model.model.layers[0].self_attn.q_proj
        x = torch.randn(tokens, 32)
        kept, out = saved_bytes(layer, x)
        assert kept == tokens * rank * 4 + wanted
        out.sum().backward()


def test_a_stays_as_it_was():
    way, model = attached("lora-fa")
    layers = list(adapted(model))
    before = [m.a.detach().clone() for m in layers]
    losses = train(way, model, batches(1) * 8)
    assert losses[-1] < losses[0]
    for m, was in zip(layers, before, strict=True):
        assert torch.equal(m.a, was)
        assert m.a.grad is None
    trained = {id(p) for group in way.groups(model, 1.0, 0.0) for p in group["params"]}
    assert trained == {id(m.b) for m in layers}


@pytest.mark.parametrize("optimizer", [torch.optim.SGD, torch.optim.AdamW])
def test_its_first_step_is_that_of_lora(optimizer):
    """B = 0 gives A no gradient in LoRA either, so B's first step is the same."""
    data = batches(1)
    (fa, one), (plain, two) = attached("lora-fa"), attached("lora")
    train(fa, one, data, optimizer=optimizer)
    train(plain, two, data, optimizer=optimizer)
    for m, n in zip(adapted(one), adapted(two), strict=True):
        assert torch.equal(m.b, n.b)
        assert m.b.abs().max() > 0


def test_the_projected_gradient_is_the_least_squares_fit_of_the_full_one():
    way, model = attached("lora-fa", projected=True)
    layer = model.base_model.model.model.layers[1].mlp.down_proj
    weight = layer.base_layer.weight.requires_grad_(True)
    ids = batches(1)[0]
    model(input_ids=ids, labels=ids).loss.backward()
    full = weight.grad.double()
    way.before_step(model)
    a = layer.lora_A["default"].weight.detach().double()
    step = layer.scaling["default"] * layer.lora_B["default"].weight.grad.double() @ a
    wanted = full @ a.T @ torch.linalg.inv(a @ a.T) @ a
    assert torch.allclose(step, wanted, rtol=1e-4, atol=1e-7)
    # and it is the best of all: nothing nearer to the full gradient lies in the rows of A
    best = torch.linalg.lstsq(a.T, full.T).solution.T @ a
    assert torch.allclose(wanted, best, rtol=1e-6, atol=1e-10)


def test_the_projected_gradient_agrees_with_peft_s_own_optimizer():
    """Its moments after one step are a tenth of the gradient, computed in bfloat16."""
    from peft.optimizers import create_lorafa_optimizer

    ids = batches(1)[0]
    way, ours = attached("lora-fa", projected=True)
    _, theirs = attached("lora-fa")
    optimizer = create_lorafa_optimizer(theirs, r=4, lora_alpha=8, lr=1e-2)
    for model in (ours, theirs):
        model.train()
        model(input_ids=ids, labels=ids).loss.backward()
    way.before_step(ours)
    optimizer.step()
    by_path = {m.path: m for m in adapted(ours)}
    moments = {n: s["exp_avg_B"] for n, s in optimizer.state.items() if "exp_avg_B" in s}
    assert len(moments) == len(by_path) == 14
    for name, moment in moments.items():
        path = name.removeprefix("base_model.model.").removesuffix(".lora")
        mine = by_path[path].b.grad
        assert (moment * 10 - mine).norm() < 0.02 * mine.norm()


def test_dropout_costs_what_it_says():
    """A mask of x's size is kept: told in the catalogue's words, so true here."""
    _, model = attached("lora-fa", dropout=0.1)
    model.train()
    layer = model.base_model.model.model.layers[0].self_attn.q_proj
    kept, _ = saved_bytes(layer, torch.randn(16, 32, requires_grad=True))
    assert kept >= 16 * 4 * 4 + 16 * 32


def test_linear_keeps_nothing_for_a_frozen_weight():
    """The fact of PyTorch that the technique rests on."""
    weight = torch.randn(4, 32)
    x = torch.randn(8, 32, requires_grad=True)
    kept = []
    with saved_tensors_hooks(lambda t: kept.append(t.data_ptr()) or t, lambda t: t):
        linear(x, weight)
    assert kept == [weight.data_ptr()]
