"""LoRA+: who is in which group, and how far apart their rates are."""

import pytest
import torch
from torch.optim.lr_scheduler import LambdaLR
from tuning import attached, batches, train

from backend.train.techniques.lora import adapted


def bs(model):
    return [m.b for m in adapted(model)]


@pytest.mark.parametrize("options", [{}, {"dora": True}])
def test_every_parameter_is_in_one_group_and_every_b_in_the_fast_one(options):
    way, model = attached("lora-plus", ratio=16.0, **options)
    groups = way.groups(model, 1e-3, 0.1)
    members = [id(p) for group in groups for p in group["params"]]
    assert len(members) == len(set(members))
    assert set(members) == {id(p) for p in model.parameters() if p.requires_grad}
    fast = [group for group in groups if group["lr"] == 16e-3]
    assert len(fast) == 1
    assert {id(p) for p in fast[0]["params"]} == {id(b) for b in bs(model)}
    for group in groups:  # vectors (DoRA's magnitudes) neither learn faster nor decay
        if any(p.ndim == 1 for p in group["params"]):
            assert group["lr"] == 1e-3
            assert group["weight_decay"] == 0
        else:
            assert group["weight_decay"] == 0.1


def test_the_rates_stay_the_ratio_apart_at_every_step_of_the_schedule():
    way, model = attached("lora-plus", ratio=16.0)
    optimizer = torch.optim.AdamW(way.groups(model, 1e-3, 0.0))
    schedule = LambdaLR(optimizer, lambda step: max(0.0, 1 - step / 10))
    for _ in range(10):
        slow, fast = sorted(group["lr"] for group in optimizer.param_groups)
        assert fast == pytest.approx(16 * slow, rel=1e-12)
        optimizer.step()
        schedule.step()


def test_a_ratio_of_one_is_lora_bit_for_bit():
    data = batches(6)
    (plus, one), (plain, two) = attached("lora-plus", ratio=1.0), attached("lora")
    assert train(plus, one, data, weight_decay=0.01) == train(plain, two, data, weight_decay=0.01)
    for a, b in zip(one.parameters(), two.parameters(), strict=True):
        assert torch.equal(a, b)


def test_the_first_step_of_b_is_the_ratio_larger():
    data = batches(1)
    (plus, one), (plain, two) = attached("lora-plus", ratio=16.0), attached("lora")
    train(plus, one, data, rate=1e-4)
    train(plain, two, data, rate=1e-4)
    for fast, slow in zip(bs(one), bs(two), strict=True):
        assert (fast.abs().max() / slow.abs().max()).item() == pytest.approx(16, rel=1e-3)
