"""The engine's Llama gives the logits of PyTorch, and tells the golden story of a real model."""

import json
from dataclasses import replace

import numpy as np
import pytest
from oracle_llama import OracleLlama
from oracle_models import (
    DRAWN,
    LLAMA,
    LLAMA3_ROPE,
    assert_close,
    llama3_factors,
    random_weights,
    relative,
    transformers_logits,
    write_gguf,
)
from run_logits import engine_logits, logits_under

from backend.inference import Sampling, load_model
from ext.cpu import available

FLOATS = ("F32", "F16", "BF16")
BLOCKS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q6_K", *DRAWN)
SHAPES = {
    "256": LLAMA,
    "256-tied": replace(LLAMA, tied=True),
    "768": replace(
        LLAMA, hidden=768, layers=1, heads=6, kv_heads=3, feed_forward=1280, vocabulary=331
    ),
}
PROMPTS = np.random.default_rng(13).integers(0, 300, (2, 17)).tolist()

# Products of block types round activations to 8 bits: to steps of max|x| / 127 over a block. With
# max|x| at most 4 times the root mean square, as it is for these inputs, the rounding error is at most
# 4 / 127 / sqrt(12) = 0.9 % of it, and as errors are independent so is the error of a product. The
# output matrix adds it whole to the logits, the layers before it a thirtieth each.
EIGHT_BITS = 0.9e-2


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights of each shape, and where files of it go."""
    return {
        name: (random_weights(tiny, 2, ternary=False), tmp_path_factory.mktemp(name))
        for name, tiny in SHAPES.items()
    }


@pytest.fixture(params=SHAPES)
def shape(request, made):
    return made[request.param]


def check(kind, got, wanted):
    if kind in FLOATS:
        assert_close(got, wanted, limit=1e-5, share=0)
    else:
        errors = np.concatenate([relative(g, w) for g, w in zip(got, wanted, strict=True)])
        assert errors.max() < EIGHT_BITS, errors


@pytest.mark.parametrize("kind", FLOATS + BLOCKS)
def test_equals_the_oracle(shape, kind):
    weights, folder = shape
    path = write_gguf(folder / f"{kind}.gguf", weights, kind, kind)
    oracle = OracleLlama(path)
    wanted = [oracle.logits(ids) for ids in PROMPTS]
    for block in (264, 1, 6):
        check(kind, engine_logits(path, PROMPTS, block=block), wanted)


def test_equals_transformers(shape):
    weights, folder = shape
    path = write_gguf(folder / "m.gguf", weights, "F32")
    check("F32", engine_logits(path, PROMPTS), transformers_logits(weights, PROMPTS))


@pytest.fixture(scope="module")
def told(made):
    """Return a file of every type and what the oracle says of it."""
    weights, folder = made["768"]
    paths = {k: str(write_gguf(folder / f"{k}.gguf", weights, k, k)) for k in FLOATS + BLOCKS}
    return {
        k: (path, [OracleLlama(path).logits(ids) for ids in PROMPTS]) for k, path in paths.items()
    }


@pytest.mark.parametrize("isa", available())
def test_every_kernel_set_and_number_of_threads(told, isa, tmp_path):
    jobs, wanted = [], {}
    for kind, (path, logits) in told.items():
        for threads, block in ((1, 264), (2, 1)):
            jobs.append([f"{kind}-{threads}", path, PROMPTS, threads, block, "f32"])
            wanted[jobs[-1][0]] = logits
    jobs.append([f"{kind}-three threads", path, PROMPTS, 3, 264, "f32"])
    wanted[f"{kind}-three threads"] = logits
    for name, got in logits_under(isa, jobs, tmp_path).items():
        check(name.split("-")[0], got, wanted[name])


def test_a_half_precision_cache_rounds_to_eleven_bits(shape):
    weights, folder = shape
    path = write_gguf(folder / "half.gguf", weights, "F32")
    oracle = OracleLlama(path)
    wanted = [oracle.logits(ids) for ids in PROMPTS]
    assert_close(engine_logits(path, PROMPTS, kv="f16"), wanted, limit=2**-11 / 8, share=0)


def test_frequency_factors_of_llama_3(tmp_path):
    tiny = replace(LLAMA, rope_base=500000.0)
    weights = random_weights(tiny, 10, ternary=False)
    prompts = np.random.default_rng(3).integers(0, 300, (1, 120)).tolist()
    factors = llama3_factors(weights)
    assert factors.min() == 1
    assert factors.max() == pytest.approx(8)
    path = write_gguf(tmp_path / "m.gguf", weights, "F32", extra={"rope_freqs.weight": factors})
    wanted = transformers_logits(weights, prompts, LLAMA3_ROPE)
    assert relative(wanted[0], transformers_logits(weights, prompts)[0]).max() > 1e-4
    assert_close([OracleLlama(path).logits(ids) for ids in prompts], wanted, limit=1e-5, share=0)
    for block in (264, 1):
        check("F32", engine_logits(path, prompts, block=block), wanted)


def test_ternary_llama_has_no_sub_norms(tmp_path):
    weights = random_weights(LLAMA, 9, ternary=True)
    wanted = transformers_logits(weights, PROMPTS)
    for kind in ("I2_S", "TQ1_0", "TQ2_0"):
        path = write_gguf(tmp_path / f"{kind}.gguf", weights, kind)
        assert_close(engine_logits(path, PROMPTS), wanted)


@pytest.mark.conformance
@pytest.mark.parametrize("threads", [1, 2])
def test_tells_the_golden_story(conformance, threads):
    golden = json.loads((conformance / "models/stories260K_golden.json").read_text())
    ids = golden["greedy_ids_from_bos"]
    model = load_model(conformance / "models/stories260K.gguf", threads=threads)
    for token, wanted in golden["first_logits_top8"]:
        assert model.logits(ids[:1])[0, token] == pytest.approx(wanted, rel=1e-4)
    assert model.logits(ids[:-1]).argmax(1).tolist() == ids[1:]
    told = list(model.stream(ids[:1], Sampling(temperature=0, max_tokens=len(ids) - 1)))
    assert [token.id for token in told] == ids[1:]
    assert "".join(token.text for token in told).strip() == golden["greedy_text"].strip()
    model.close()


@pytest.mark.conformance
@pytest.mark.parametrize("isa", available())
def test_every_kernel_set_tells_the_golden_story(conformance, isa, tmp_path):
    golden = json.loads((conformance / "models/stories260K_golden.json").read_text())
    ids = golden["greedy_ids_from_bos"]
    path = str(conformance / "models/stories260K.gguf")
    jobs = [["block", path, [ids[:-1]], 2, 264, "f32"], ["token", path, [ids[:200]], 2, 1, "f32"]]
    found = logits_under(isa, jobs, tmp_path)
    assert found["block"][0].argmax(1).tolist() == ids[1:]
    assert found["token"][0].argmax(1).tolist() == ids[1:201]
