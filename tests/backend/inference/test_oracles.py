"""The oracles themselves: they agree with transformers' own models and with a real model."""

import json
from dataclasses import replace

import gguf
import numpy as np
import pytest
from oracle_bitnet import OracleBitNet
from oracle_gguf import read
from oracle_llama import OracleLlama
from oracle_models import (
    LLAMA,
    ODD,
    Tiny,
    assert_close,
    random_weights,
    transformers_logits,
    write_gguf,
)

PROMPTS = np.random.default_rng(7).integers(0, 300, (3, 10)).tolist()


@pytest.mark.parametrize("kind", ["I2_S", "TQ1_0", "TQ2_0"])
@pytest.mark.parametrize("activation", ["relu2", "silu"])
@pytest.mark.parametrize("tiny", [Tiny(), ODD], ids=["256", "768"])
def test_bitnet_oracle_equals_transformers(tmp_path, tiny, activation, kind):
    weights = random_weights(replace(tiny, activation=activation), 3, ternary=True)
    oracle = OracleBitNet(write_gguf(tmp_path / "m.gguf", weights, kind))
    assert_close([oracle.logits(ids) for ids in PROMPTS], transformers_logits(weights, PROMPTS))


@pytest.mark.parametrize("tied", [False, True])
def test_llama_oracle_equals_transformers(tmp_path, tied):
    weights = random_weights(replace(LLAMA, tied=tied), 5, ternary=False)
    oracle = OracleLlama(write_gguf(tmp_path / "m.gguf", weights, "F32"))
    got, wanted = [oracle.logits(ids) for ids in PROMPTS], transformers_logits(weights, PROMPTS)
    assert_close(got, wanted, limit=5e-6, share=1)


def test_ternary_types_hold_the_same_weights(tmp_path):
    weights = random_weights(Tiny(), 1, ternary=True)
    for kind in ("I2_S", "TQ1_0", "TQ2_0"):
        _, read_back = read(write_gguf(tmp_path / f"{kind}.gguf", weights, kind))
        for name, value in weights.value.items():
            assert np.array_equal(read_back[name].value.numpy(), value), (kind, name)


def test_q6_k_of_the_tests_is_close_to_its_values(tmp_path):
    weights = random_weights(LLAMA, 1, ternary=False)
    _, read_back = read(write_gguf(tmp_path / "m.gguf", weights, "Q6_K"))
    value, got = weights.value["blk.0.ffn_down.weight"], read_back["blk.0.ffn_down.weight"]
    assert got.kind == gguf.GGMLQuantizationType.Q6_K.name
    assert np.linalg.norm(got.value.numpy() - value) < 0.025 * np.linalg.norm(value)


@pytest.mark.conformance
def test_llama_oracle_tells_the_golden_story(conformance):
    golden = json.loads((conformance / "models/stories260K_golden.json").read_text())
    oracle = OracleLlama(conformance / "models/stories260K.gguf")
    ids = golden["greedy_ids_from_bos"]
    logits = oracle.logits(ids[:-1])
    assert logits.argmax(1).tolist() == ids[1:]
    for token, wanted in golden["first_logits_top8"]:
        assert logits[0, token] == pytest.approx(wanted, rel=1e-4)
