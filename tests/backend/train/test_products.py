"""Adapters computed in one product: the numbers and gradients of peft's own layers, and when peft is asked."""

import pytest
import torch
from peft import LoraConfig
from peft.tuners.lora.layer import Linear
from peft.tuners.vera.layer import Linear as VeraLinear
from peft.tuners.vera.layer import VeraLayer
from torch.autograd.graph import saved_tensors_hooks
from tuning import attached, batches, tiny, train

from backend.train.techniques.lora import adapted
from backend.train.techniques.product import AdaptedLinear
from backend.train.techniques.vera_product import AdaptedVera

WAYS = {
    "lora": {},
    "lora rs": {"rslora": True},
    "lora-fa": {},
    "vera": {},
}


def learnt(name, **base):
    """Return a model in float64 that has learnt a little, so that nothing in it is zero."""
    way, model = attached(name.split()[0], base=tiny(dtype=torch.float64, **base), **WAYS[name])
    train(way, model, batches(3))
    return model


def passed(model, ids):
    """Return the loss and all gradients of one pass."""
    model.zero_grad()
    model.train()
    loss = model(input_ids=ids, labels=ids).loss
    loss.backward()
    return loss.item(), {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def as_peft_has_it(model):
    """Give every layer its class of peft back."""
    kinds = {AdaptedLinear: Linear, AdaptedVera: VeraLinear}
    turned = [m for m in model.modules() if type(m) in kinds]
    for m in turned:
        m.__class__ = kinds[type(m)]
    return len(turned)


@pytest.mark.parametrize("biased", [False, True])
@pytest.mark.parametrize("name", WAYS)
def test_loss_and_gradients_are_those_of_peft_s_layers(name, biased):
    model, ids = learnt(name, attention_bias=biased, mlp_bias=biased), batches(1, seed=5)[0]
    if biased:
        generator = torch.Generator().manual_seed(3)
        for n, p in model.named_parameters():
            if n.endswith("base_layer.bias"):
                p.data.normal_(generator=generator)
    loss, ours = passed(model, ids)
    assert as_peft_has_it(model) == 14
    wanted, theirs = passed(model, ids)
    assert loss == pytest.approx(wanted, rel=1e-13)
    assert ours.keys() == theirs.keys()
    for n, grad in ours.items():
        assert (grad - theirs[n]).norm() <= 1e-11 * theirs[n].norm(), n


@pytest.mark.parametrize("name", ["lora", "vera"])
def test_passes_can_be_repeated_and_recomputed(name):
    """Twice from the same input, and in gradient checkpointing."""
    model, ids = learnt(name), batches(1, seed=5)[0]
    loss, once = passed(model, ids)
    model.gradient_checkpointing_enable({"use_reentrant": False})
    again, recomputed = passed(model, ids)
    assert loss == again
    assert all(torch.equal(once[n], recomputed[n]) for n in once)
    layer = model.get_submodule("base_model.model.model.layers.0.self_attn.q_proj")
    x = torch.randn(5, 32, dtype=torch.float64, requires_grad=True)
    first, second = (torch.autograd.grad(layer(x).sum(), x)[0] for _ in range(2))
    assert torch.equal(first, second)


def counted(run):
    """Return how many products of ours a call makes."""
    made = []
    with saved_tensors_hooks(lambda t: made.append(t) or t, lambda t: t):
        out = run()
    graph, seen = [out.grad_fn], set()
    while graph:
        node = graph.pop()
        if node is not None and node not in seen:
            seen.add(node)
            graph += [n for n, _ in node.next_functions]
    return sum(type(n).__name__ in ("ProductBackward", "_WidenBackward") for n in seen)


def test_what_is_unlike_a_plain_step_is_left_to_peft():
    _, model = attached("lora")
    layer = next(adapted(model)).layer
    x = torch.randn(3, 32, requires_grad=True)
    assert counted(lambda: layer(x)) == 1
    with torch.autocast("cpu", torch.bfloat16):
        assert counted(lambda: layer(x)) == 0
    with model.disable_adapter():
        assert counted(lambda: layer(x)) == 0
    model.merge_adapter()
    assert counted(lambda: layer(x)) == 0
    model.unmerge_adapter()
    model.add_adapter("second", LoraConfig(r=2, target_modules="all-linear"))
    model.base_model.set_adapter(["default", "second"])
    assert counted(lambda: layer(x)) == 0
    for options in ({"dora": True}, {"dropout": 0.1}):
        _, model = attached("lora", **options)
        model.train()
        assert counted(lambda: next(adapted(model)).layer(x)) == 0  # noqa: B023
    with torch.no_grad():
        assert torch.equal(layer(x), Linear.forward(layer, x))


def test_vera_narrows_an_input_once_for_all_that_read_it():
    _, model = attached("vera", rank=8)
    model.train()
    ids = batches(1)[0]
    names = []
    graph, seen = [model(input_ids=ids, labels=ids).loss.grad_fn], set()
    while graph:
        node = graph.pop()
        if node is not None and node not in seen:
            seen.add(node)
            names.append(type(node).__name__)
            graph += [n for n, _ in node.next_functions]
    assert names.count("_WidenBackward") == 14
    # q k v, o, gate up, down: in two layers, but for the first input, which nothing learns from
    assert names.count("_NarrowBackward") == 7
    layers = [m for m in model.modules() if isinstance(m, VeraLayer)]
    with torch.autocast("cpu", torch.bfloat16):
        assert counted(lambda: layers[0](torch.randn(3, 32))) == 0
