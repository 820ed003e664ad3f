"""Advice on real files: the engine asked dry, real runs noted, other architectures told as such."""

import pytest
from ggufs import tiny_llama
from hypothesis import given, settings
from hypothesis import strategies as st
from published_models import LLAMA_8B, decoder

from backend import advice, fit
from backend.fit import Offer, Use, read_model, typical
from backend.gguf import open_gguf
from backend.inference import Sampling, load_model
from backend.machine import Replay, assume, history, measuring, read_machine, speeds, trial_programs


@pytest.fixture
def short(monkeypatch):
    monkeypatch.setattr(measuring, "_USUAL", ("Q8_0",))
    monkeypatch.setattr(speeds, "_stream", lambda: 1 << 20)
    monkeypatch.setattr(trial_programs, "_VOCABULARY", 1024)


def nowhere(ram):
    return assume(read_machine(Replay({})), ram=ram)


@pytest.mark.parametrize("kv", ["auto", "f32", "q8_0"])
def test_the_engine_holds_what_it_said(tmp_path, kv):
    path = tiny_llama(tmp_path / "m.gguf", tensor_type="Q8_0", context=4096).path
    with open_gguf(path) as file:
        model = read_model(file)
    said = advice.engine(model, 500, kv)
    loaded = load_model(path, context=500, kv=kv)
    assert said.total == loaded.plan.total
    assert said.kv == loaded.plan.cache
    assert said.weights == model.file_bytes
    loaded.close()


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([135e6, 0.6e9, 1.2e9, 4e9, 8e9]),
    st.sampled_from(["Q8_0", "Q4_K_M", "TQ2_0", "F16"]),
    st.sampled_from(["auto", "f16", "q8_0", "f32", "q4_0"]),
    st.integers(1, 100_000),
    st.integers(1, 100_000),
)
def test_a_longer_context_never_needs_less_of_the_engine(params, quant, kv, one, other):
    model = fit.quantised(typical(int(params)), quant)
    short, long = (advice.engine(model, context, kv) for context in sorted((one, other)))
    assert short.total <= long.total
    assert short.kv <= long.kv


def test_a_table_that_stays_on_disk_is_not_reckoned():
    untied = read_model(decoder(**LLAMA_8B, quant="Q8_0"))
    said = advice.engine(untied, 2048, "f16")
    assert said.on_disk == untied.tensors["token_embd.weight"].nbytes
    assert said.total < said.weights + said.kv + said.compute
    tied = read_model(decoder(**LLAMA_8B, tied=True, quant="Q8_0"))
    assert advice.engine(tied, 2048, "f16").on_disk == 0


def test_a_model_that_the_engine_does_not_run_is_told_in_llama_cpps_figures():
    other = read_model(decoder("deepseek2", **LLAMA_8B, quant="Q8_0"))
    told = advice.advise(other, [Offer("Q8_0")], nowhere(64 * 10**9), Use())
    assert not told.runs
    assert "deepseek2" in told.why_not
    assert told.recommendation.chosen.needs == fit.llama_cpp(other, 4096, "auto")
    assert told.candidates[0].speed is None
    assert "llama.cpp" in told.reasons[-1]


def test_a_type_that_the_engine_does_not_run():
    model = fit.quantised(typical(8_000_000_000), "IQ1_S")
    assert "IQ1_S" in advice.refusal(model)
    assert advice.refusal(fit.quantised(typical(8_000_000_000), "IQ2_XS")) == ""
    assert advice.refusal(fit.quantised(typical(8_000_000_000), "Q4_K_M")) == ""


def test_nothing_fits_and_what_to_do():
    told = advice.advise(typical(8_000_000_000), [Offer("Q4_K_M")], nowhere(3 * 10**9), Use())
    assert told.recommendation.chosen is None
    assert any("more than the 3.00 GB" in line for line in told.reasons)


def test_the_file_that_is_recommended_exists(tmp_path):
    path = tiny_llama(tmp_path / "m.gguf", tensor_type="Q8_0").path
    with open_gguf(path) as file:
        model = read_model(file)
    told = advice.advise(model, [Offer("Q8_0", file=str(path))], read_machine(), Use())
    assert told.recommendation.chosen.offer.file == str(path)


def test_a_real_run_replaces_the_prediction(tmp_path, short):
    path = tiny_llama(tmp_path / "m.gguf", tensor_type="Q8_0", context=512).path
    loaded = load_model(path)
    advice.follow(loaded)
    with open_gguf(path) as file:
        model = read_model(file)
    advice.measure_for(model, [Offer(model.quant)])
    machine = read_machine()
    before = advice.pace_on(machine, model)(model, 256)
    assert not before.measured
    assert list(loaded.stream(list(range(1, 60)), Sampling(max_tokens=32, temperature=1.0, seed=1)))
    noted = history.runs(speeds.processor(), loaded.isa, loaded.threads)
    after = advice.pace_on(machine, model)(model, 256)
    if loaded.last.completion_tokens > 16:  # it may have ended its turn before
        assert len(noted) == 1
        assert after.measured
        assert after.answer == pytest.approx(noted[0].answer)
        assert after.prompt == pytest.approx(noted[0].prompt)
    loaded.close()


def test_the_grid_has_a_cell_for_each_quant_and_context():
    model, here = typical(4_000_000_000), nowhere(8 * 10**9)
    columns = fit.contexts(model, 4)
    made = advice.grid(model, advice.ladder(model), here, Use(), columns)
    assert made.contexts == (2048, 4096, 8192, 16384)
    assert [row[0].quant for row in made.rows] == list(advice.LADDER)
    for row in made.rows:
        assert [c.context for c in row] == list(columns)
        totals = [c.needs.total for c in row]
        assert totals == sorted(totals)
