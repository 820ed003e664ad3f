"""Delta-LoRA: what W_t is, that nothing is rounded, and what it amounts to."""

import pytest
import torch
from peft import PeftModel
from tuning import attached, base_weights, batches, logits, tiny, train

from backend.errors import SternaError
from backend.train import recipe
from backend.train.techniques.delta_lora import weight_now
from backend.train.techniques.lora import adapted
from backend.train.techniques.technique import ADAPTER

IDS = batches(1, seed=9)[0]


def product(m):
    return m.b.detach().double() @ m.a.detach().double()


def delta(start, **options):
    return attached("delta-lora", start_step=start, **{"update_ratio": 0.5, **options})


@pytest.mark.parametrize(("dtype", "within"), [(torch.float64, 1e-14), (torch.float32, 1e-6)])
def test_the_weight_is_the_sum_of_the_paper_s_updates_at_every_step(dtype, within):
    """W_{t+1} = W_t + lambda s (B_{t+1} A_{t+1} - B_t A_t) for t >= K, added up step by step."""
    way, model = delta(3, base=tiny(dtype=dtype))
    layers = list(adapted(model))
    for m in layers:
        m.layer.to(dtype)
    scale, share, start = 8 / 4, 0.5, 3
    frozen = [m.weight.clone() for m in layers]
    summed = [w.double() for w in frozen]
    last = [product(m) for m in layers]

    def check(step):
        for i, m in enumerate(layers):
            now = product(m)
            if step > start:
                summed[i] = summed[i] + share * scale * (now - last[i])
            last[i] = now
            assert (weight_now(m) - summed[i]).abs().max() <= within
            if step <= start:
                assert torch.equal(weight_now(m), frozen[i].double())

    train(way, model, batches(8), after=check)
    assert all((s - w).abs().max() > 1e-4 for s, w in zip(summed, frozen, strict=True))


def test_the_forward_pass_uses_the_moved_weight():
    """The same logits come from a model whose weights were really moved in place."""
    way, model = delta(2, base=tiny(dtype=torch.float64))
    for m in adapted(model):
        m.layer.to(torch.float64)
    train(way, model, batches(6))
    wanted = logits(model, IDS)
    _, other = attached("lora", base=tiny(dtype=torch.float64))
    for mine, theirs in zip(adapted(model), adapted(other), strict=True):
        theirs.layer.to(torch.float64)
        theirs.layer.base_layer.weight.data = weight_now(mine)
        theirs.a.data, theirs.b.data = mine.a.data, mine.b.data
    assert (logits(other, IDS) - wanted).abs().max() < 1e-12
    # and so do the gradients of A and B
    for m in (model, other):
        m.train()
        m.zero_grad()
        m(input_ids=IDS, labels=IDS).loss.backward()
    for mine, theirs in zip(adapted(model), adapted(other), strict=True):
        assert torch.allclose(mine.a.grad, theirs.a.grad, rtol=1e-9, atol=1e-15)
        assert torch.allclose(mine.b.grad, theirs.b.grad, rtol=1e-9, atol=1e-15)


def test_the_frozen_weight_has_no_gradient_and_no_state():
    way, model = delta(0)
    before = base_weights(model)
    train(way, model, batches(4))
    trained = {id(p) for group in way.groups(model, 1.0, 0.0) for p in group["params"]}
    for name, p in model.named_parameters():
        if name in before:
            assert torch.equal(p, before[name])
            assert not p.requires_grad
            assert p.grad is None
            assert id(p) not in trained


def test_nothing_is_lost_on_a_bfloat16_base():
    """In-place updates would lose most of the move; beside the weight it is exact."""
    way, model = delta(1, base=tiny(dtype=torch.bfloat16))
    train(way, model, batches(8), rate=1e-3)
    in_place_errors, errors = [], []
    for m in adapted(model):
        moving = m.layer.lora_variant[ADAPTER]
        wanted = 0.5 * 2 * (product(m) - moving.b.double() @ moving.a.double())
        w0 = m.weight.double()
        errors.append((weight_now(m) - w0 - wanted).norm() / wanted.norm())
        rounded = (w0 + wanted).to(torch.bfloat16).double() - w0
        in_place_errors.append((rounded - wanted).norm() / wanted.norm())
    assert max(errors) < 1e-9
    assert min(in_place_errors) > 0.02


def test_from_the_first_step_it_is_lora_of_a_larger_alpha():
    data = batches(1) * 12
    way, model = delta(0)
    other_way, other = attached("lora", alpha=8 * 1.5)
    ours = train(way, model, data, eps=1e-30)
    theirs = train(other_way, other, data, eps=1e-30)
    assert ours == pytest.approx(theirs, rel=2e-4)
    assert ours[-1] < ours[0] * 0.95


def test_a_share_of_nothing_is_lora_bit_for_bit():
    data = batches(6)
    (way, model), (plain, other) = delta(2, update_ratio=0.0), attached("lora")
    assert train(way, model, data) == train(plain, other, data)
    for a, b in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_whole_change_has_at_most_twice_the_rank_and_is_saved_so(tmp_path):
    way, model = delta(2)
    train(way, model, batches(6), rate=3e-2)
    wanted = logits(model, IDS)
    for f, m in zip(way.factors(model), adapted(model), strict=True):
        assert f.a.shape[0] == f.b.shape[1] == 8
        whole = weight_now(m) - m.weight.double() + 2 * product(m)
        assert torch.linalg.matrix_rank(whole, rtol=1e-6) == 8
        assert (f.b.double() @ f.a.double() - whole).abs().max() < 1e-6
    way.save(model, tmp_path)
    again = PeftModel.from_pretrained(tiny(), tmp_path)
    assert again.peft_config["default"].r == 8
    assert (logits(again, IDS) - wanted).abs().max() <= 1e-5


def test_merging_by_peft_adds_the_move_too():
    way, model = delta(2)
    train(way, model, batches(6))
    wanted = logits(model, IDS)
    merged = model.merge_and_unload()
    assert (logits(merged, IDS) - wanted).abs().max() <= 1e-5


def test_resumed_after_the_snapshot_it_ends_as_if_never_stopped():
    data = batches(9)

    def run(model, way, optimizer, steps, first):
        for step, ids in enumerate(steps, first):
            model.train()
            model(input_ids=ids, labels=ids).loss.backward()
            optimizer.step()
            optimizer.zero_grad()
            way.after_step(model, step)

    way, whole = delta(3)
    optimizer = torch.optim.AdamW(way.groups(whole, 1e-2, 0.0))
    way.begin(whole, 0)
    run(whole, way, optimizer, data[:5], 1)
    kept = {n: p.detach().clone() for n, p in whole.named_parameters() if p.requires_grad}
    snapshot = {n: t.clone() for n, t in way.state(whole).items()}
    assert len(snapshot) == 29
    import copy

    states = copy.deepcopy(optimizer.state_dict())
    run(whole, way, optimizer, data[5:], 6)

    way, again = delta(3)
    again.load_state_dict(kept, strict=False)
    way.load_state(again, snapshot)
    optimizer = torch.optim.AdamW(way.groups(again, 1e-2, 0.0))
    optimizer.load_state_dict(states)
    way.begin(again, 5)
    run(again, way, optimizer, data[5:], 6)
    assert torch.equal(logits(whole, IDS), logits(again, IDS))


def test_dropout_is_refused():
    wrong = recipe.Recipe(
        base=recipe.Base(model="m"),
        data=recipe.Data(path="d"),
        technique=recipe.Technique(name="delta-lora", dropout=0.1),
    )
    with pytest.raises(SternaError, match="dropout") as error:
        recipe.check(wrong)
    assert error.value.kind == "bad_recipe"
