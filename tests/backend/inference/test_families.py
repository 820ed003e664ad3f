"""Every family gives the logits of transformers' own implementation of it."""

import numpy as np
import pytest
from oracle_models import assert_close, relative
from run_logits import engine_logits, logits_under
from tiny_families import FAMILIES, make

from backend.inference import load_model, memory
from ext.cpu import available

PROMPTS = [np.random.default_rng(n).integers(0, 300, n).tolist() for n in (100, 13, 1)]
LIMIT = 2e-5  # of float32 sums in another order


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Each family's model and transformers' logits of the prompts, made when asked for."""
    folder, found = tmp_path_factory.mktemp("families"), {}

    def of(name):
        if name not in found:
            model = make(folder / f"{name.replace(' ', '-')}.gguf", FAMILIES[name])
            found[name] = model, model.logits(PROMPTS)
        return found[name]

    return of


@pytest.mark.parametrize("name", FAMILIES)
def test_equals_transformers(made, name):
    model, wanted = made(name)
    for block in (264, 1, 7):
        got = engine_logits(model.path, PROMPTS, block=block)
        assert_close(got, wanted, limit=LIMIT, share=0)


def test_every_kernel_set_and_number_of_threads(made, tmp_path):
    names = [n for n in FAMILIES if not n.startswith("llama")]
    jobs = [
        [f"{name}-{threads}", str(made(name)[0].path), PROMPTS, threads, block, "f32"]
        for name in names
        for threads, block in ((1, 264), (3, 9))
    ]
    for isa in available()[1:]:
        for name, got in logits_under(isa, jobs, tmp_path).items():
            assert_close(got, made(name.rsplit("-", 1)[0])[1], limit=LIMIT, share=0)


@pytest.mark.parametrize("name", FAMILIES)
def test_quantised_weights_mean_what_they_say(tmp_path, name):
    """Eight bits in weights and activations: the rounding of activations is all that differs.

    Where two experts are nearly equal it may choose the other one, which is another answer.
    """
    made = make(tmp_path / "m.gguf", FAMILIES[name], kind="Q8_0", seed=3)
    pairs = zip(engine_logits(made.path, PROMPTS[:2]), made.logits(PROMPTS[:2]), strict=True)
    errors = np.concatenate([relative(got, wanted) for got, wanted in pairs])
    share = 0.8 if "experts" in str(made.config) else 1
    assert (errors < 0.05).mean() >= share, errors


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("kv", ["f32", "q8_0"])
def test_the_plan_is_what_the_engine_takes(made, name, kv):
    path = made(name)[0].path
    for context, threads in ((500, 1), (47, 3)):
        model = load_model(path, context=context, kv=kv, threads=threads)
        assert model.plan.cache == model._engine.cache_bytes
        assert memory.buffer_bytes(model.hyper, model.threads) == model._engine.buffer_bytes
        model.close()
