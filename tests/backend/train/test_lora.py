"""LoRA: starts as the base, leaves the base alone, merges."""

import pytest
import torch
from tuning import attached, base_weights, batches, logits, tiny, train

from backend.errors import SternaError

IDS = batches(1, seed=9)[0]


@pytest.mark.parametrize("options", [{}, {"rslora": True}, {"dora": True}])
def test_it_begins_as_the_base_bit_for_bit(options):
    before = logits(tiny(), IDS)
    _, model = attached("lora", **options)
    difference = (logits(model, IDS) - before).abs().max()
    assert difference == 0 if not options.get("dora") else difference < 1e-5


def test_the_base_is_never_touched():
    way, model = attached("lora")
    before = base_weights(model)
    losses = train(way, model, batches(1) * 8)
    assert losses[-1] < losses[0]
    after = base_weights(model)
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_merged_weights_give_the_adapter_s_logits_and_can_be_unmerged():
    way, model = attached("lora")
    weight = model.base_model.model.model.layers[0].self_attn.q_proj.base_layer.weight
    before = weight.detach().clone()
    train(way, model, batches(5))
    wanted = logits(model, IDS)
    model.merge_adapter()
    assert (logits(model, IDS) - wanted).abs().max() <= 1e-5
    largest = torch.maximum(weight.detach().abs(), before.abs())
    model.unmerge_adapter()
    ulp = torch.nextafter(largest, torch.tensor(torch.inf)) - largest
    assert torch.all((weight - before).abs() <= ulp)


@pytest.mark.parametrize("options", [{}, {"rslora": True}])
def test_factors_are_the_whole_change(options):
    way, model = attached("lora", **options)
    train(way, model, batches(5))
    wanted = logits(model, IDS)
    base = tiny()
    with torch.no_grad():
        for f in way.factors(model):
            base.get_submodule(f.module).weight += f.b @ f.a
    assert (logits(base, IDS) - wanted).abs().max() <= 1e-5


def test_dora_has_no_factors():
    way, model = attached("lora", dora=True)
    with pytest.raises(SternaError) as error:
        list(way.factors(model))
    assert error.value.kind == "no_factors"


def test_peft_loads_what_was_saved(tmp_path):
    from peft import PeftModel

    way, model = attached("lora", targets=["q_proj", "v_proj"])
    train(way, model, batches(5))
    way.save(model, tmp_path)
    again = PeftModel.from_pretrained(tiny(), tmp_path)
    assert torch.equal(logits(again, IDS), logits(model, IDS))
    assert not list(tmp_path.glob("*.bin"))
