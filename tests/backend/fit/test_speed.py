"""Predictions from figures of a machine, and what runs do to them."""

from dataclasses import replace

import pytest
from published_models import LLAMA_8B, decoder

from backend.fit import read_model, typical, weights_per_token, work_per_token
from backend.fit.speed import TOKEN, attended, correction, kept_bytes, predict
from backend.machine.history import Run
from backend.machine.speeds import Speeds

FIGURES = {"F16": 10e9, "Q4_K": 40e9, "Q6_K": 25e9, "head Q6_K": 35e9}
MACHINE = Speeds(
    version=1, cpu="c", isa="i", threads=2, at=0.0, bandwidth=25e9, one=FIGURES,
    many=dict.fromkeys(FIGURES, 80000000000.0), normalise=2e-9, turn=1e-9, layer=10e-6, normalise_many=2e-10, turn_many=4e-10, choose=1e-9,
    attend_bytes=20e9, attend_one=10e9, attend_many=40e9, spread=0.03,
)  # fmt: skip


def model(quant="Q4_K", **changes):
    return read_model(decoder(**(LLAMA_8B | changes), quant=quant))


def test_seconds_add_up():
    said = predict(model(), 4096, MACHINE)
    weights = weights_per_token(model())
    normalised = 32 * (3 * 4096 + 14336) + 4096
    assert work_per_token(model()).normalised == normalised
    turned = 32 * (4096 + 2 * 1024)
    assert work_per_token(model()).turned == turned
    seconds = (
        sum(weights.values()) / 40e9
        + normalised * 2e-9
        + turned * 1e-9
        + 32 * 10e-6
        + 128256e-9
        + TOKEN
    )
    assert weights["head Q4_K"] == 4096 * 128256
    attention = attended(model(), 160) / 10e9 + kept_bytes(model(), 160) / 20e9
    assert said.answer == pytest.approx(1 / (seconds + attention))
    reading = (sum(weights.values()) - weights["head Q4_K"]) / 80e9 + weights[
        "head Q4_K"
    ] / 40e9 / 128
    reading += normalised * 2e-10 + turned * 4e-10 + attended(model(), 64) / 40e9
    assert said.prompt == pytest.approx(1 / reading)
    assert said.full < said.answer < said.prompt
    assert said.band == pytest.approx(0.11)
    assert not said.measured


def test_a_machine_twice_as_fast_is_twice_as_fast():
    fast = Speeds(**{
        **{f: getattr(MACHINE, f) for f in MACHINE.__struct_fields__},
        "one": {k: 2 * v for k, v in FIGURES.items()}, "many": dict.fromkeys(FIGURES, 160000000000.0),
        "attend_bytes": 40e9, "attend_one": 20e9, "attend_many": 80e9, "layer": 5e-6, "normalise": 1e-9,
        "choose": 0.5e-9, "turn": 0.5e-9, "normalise_many": 1e-10, "turn_many": 2e-10,
    })  # fmt: skip
    slow, quick = predict(model(), 4096, MACHINE), predict(model(), 4096, fast)
    assert 1 / quick.answer - TOKEN == pytest.approx((1 / slow.answer - TOKEN) / 2)
    assert quick.prompt == pytest.approx(2 * slow.prompt)
    assert 1 / quick.full - TOKEN == pytest.approx((1 / slow.full - TOKEN) / 2)


def test_what_was_not_measured_is_not_told():
    assert predict(model("Q5_K"), 4096, MACHINE) is None
    assert predict(model(), 4096, None) is None


def test_of_experts_only_those_that_are_used_are_read():
    dense = typical(8_000_000_000)
    tensors = {
        name.replace("ffn_up", "ffn_up_exps"): replace(
            t, name=name.replace("ffn_up", "ffn_up_exps")
        )
        for name, t in dense.tensors.items()
    }
    mixture = replace(dense, tensors=tensors, experts=8, experts_used=2)
    up = 32 * 4096 * dense.tensors["blk.0.ffn_up.weight"].shape[1]
    saved = sum(weights_per_token(dense).values()) - sum(weights_per_token(mixture).values())
    assert saved == up * 3 / 4


def test_a_tied_table_is_read_as_output_matrix():
    assert weights_per_token(model(tied=True))["head Q4_K"] == 4096 * 128256
    assert weights_per_token(model(tied=True)) == weights_per_token(model())


def test_a_window_bounds_attention():
    wide = read_model(decoder(**LLAMA_8B))
    narrow = read_model(decoder("gemma3", **LLAMA_8B, attention__sliding_window=512))
    assert attended(narrow, 32768) < attended(wide, 32768) / 4
    assert attended(narrow, 500) == attended(wide, 500)


def run(key, answer, seconds=0.02, context=200):
    return Run(at=0.0, key=key, cpu="c", isa="i", threads=2, context=context, prompt=0.0, answer=answer,
               weights={"Q4_K": (seconds - 80e-6 - TOKEN) * 40e9}, layers=8)  # fmt: skip


def test_runs_correct_predictions_of_other_models():
    assert correction([], MACHINE) == 1.0
    ran = [
        run("a", 40.0),
        run("a", 40.0),
        run("b", 45.0),
        run("c", 35.0),
    ]  # 50 by the products alone
    assert correction(ran, MACHINE) == pytest.approx(0.8)
    corrected = predict(model(), 4096, MACHINE, 0.8)
    assert corrected.answer == pytest.approx(0.8 * predict(model(), 4096, MACHINE).answer)


def test_runs_that_tell_nothing_correct_nothing():
    deep = run("a", 10.0, context=30000)
    unknown = Run(at=0.0, key="u", cpu="c", isa="i", threads=2, context=9, prompt=1.0, answer=1.0,
                  weights={"IQ1_S": 1e9}, layers=8)  # fmt: skip
    assert correction([deep, unknown, run("b", 0.0)], MACHINE) == 1.0
    assert correction([run("x", 1e9)], MACHINE) == 1.5
