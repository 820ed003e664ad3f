"""VeRA: one random pair for all, two vectors a matrix, an exact fold."""

import hashlib
import subprocess
import sys

import torch
from peft import PeftModel
from peft.tuners.vera.layer import VeraLayer
from tuning import attached, batches, logits, tiny, train

from backend.train.techniques.technique import count_trainable

IDS = batches(1, seed=9)[0]
SHAPES = [(32, 32), (16, 32), (16, 32), (32, 32), (48, 32), (48, 32), (32, 48)]  # d_out, d_in


def layers(model):
    return [m for m in model.modules() if isinstance(m, VeraLayer)]


def test_one_pair_serves_all_matrices_and_never_changes(tmp_path):
    way, model = attached("vera", rank=8)
    found = layers(model)
    assert len(found) == 14
    for pair in ("vera_A", "vera_B"):
        assert len({getattr(layer, pair)["default"].data_ptr() for layer in found}) == 1
    a, b = found[0].vera_A["default"], found[0].vera_B["default"]
    assert a.shape == (8, 48)
    assert b.shape == (48, 8)
    assert not a.requires_grad
    assert not b.requires_grad
    before = a.clone(), b.clone()
    losses = train(way, model, batches(1) * 10, rate=5e-2)
    assert losses[-1] < losses[0]
    assert torch.equal(a, before[0])
    assert torch.equal(b, before[1])
    way.save(model, tmp_path)
    again = PeftModel.from_pretrained(tiny(), tmp_path)
    assert torch.equal(layers(again)[0].vera_A["default"], before[0])
    assert torch.equal(layers(again)[3].vera_B["default"], before[1])
    assert torch.equal(logits(again, IDS), logits(model, IDS))


def test_it_trains_two_vectors_a_matrix():
    _, model = attached("vera", rank=8)
    assert count_trainable(model) == 2 * sum(d_out + 8 for d_out, _ in SHAPES)


def test_it_begins_as_the_base_with_the_vectors_as_set():
    before = logits(tiny(), IDS)
    _, model = attached("vera", rank=8)
    assert torch.equal(logits(model, IDS), before)
    for layer in layers(model):
        assert torch.all(layer.vera_lambda_d["default"] == 0.1)
        assert torch.all(layer.vera_lambda_b["default"] == 0)
    model.train()
    model(input_ids=IDS, labels=IDS).loss.backward()
    for layer in layers(model):
        assert torch.all(layer.vera_lambda_d["default"].grad == 0)  # b = 0 stands before it
        assert layer.vera_lambda_b["default"].grad.abs().max() > 0


def test_the_fold_to_lora_is_exact():
    """A' = diag(d) A, B' = diag(b) B give the very numbers of peft's own product."""
    way, model = attached("vera", rank=8)
    train(way, model, batches(5), rate=5e-2)
    by_name = dict(model.base_model.model.named_modules())
    folded = list(way.factors(model))
    assert len(folded) == 14
    for f in folded:
        assert torch.equal(f.b @ f.a, by_name[f.module].get_delta_weight("default"))


def test_another_process_with_the_same_seed_has_the_same_projections():
    code = (
        "import sys; sys.path[:0] = ['tests/support', 'tests/backend/train']\n"
        "from test_vera import digest; print(digest())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == digest()


def digest():
    _, model = attached("vera", rank=8, projection_seed=7)
    pair = model.base_model.vera_A["default"], model.base_model.vera_B["default"]
    return hashlib.sha256(b"".join(t.numpy().tobytes() for t in pair)).hexdigest()
