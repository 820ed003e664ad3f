"""The engine's BitNet gives the logits of PyTorch: of the oracle, and of transformers' own model."""

from dataclasses import replace

import numpy as np
import pytest
from oracle_bitnet import OracleBitNet
from oracle_models import (
    FORK,
    ODD,
    Tiny,
    assert_close,
    random_weights,
    transformers_logits,
    write_gguf,
)
from run_logits import engine_logits, logits_under

from ext.cpu import available

KINDS = ("I2_S", "TQ1_0", "TQ2_0")
SHAPES = {
    "256-relu2": Tiny(),
    "256-silu": Tiny(activation="silu"),
    "768-relu2": ODD,
    "768-silu": replace(ODD, activation="silu"),
}
PROMPTS = np.random.default_rng(11).integers(0, 300, (3, 13)).tolist()


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Weights of each shape, transformers' logits for them, and where files go."""
    found = {}
    for name, tiny in SHAPES.items():
        weights = random_weights(tiny, 2, ternary=True)
        found[name] = weights, transformers_logits(weights, PROMPTS), tmp_path_factory.mktemp(name)
    return found


@pytest.fixture(params=SHAPES)
def shape(request, made):
    return made[request.param]


@pytest.mark.parametrize("head", ["F32", "F16"])
@pytest.mark.parametrize("kind", KINDS)
def test_equals_the_oracle_and_transformers(shape, kind, head):
    weights, reference, folder = shape
    path = write_gguf(folder / f"{kind}-{head}.gguf", weights, kind, head)
    oracle = OracleBitNet(path)
    wanted = [oracle.logits(ids) for ids in PROMPTS]
    for block in (264, 1, 5):
        got = engine_logits(path, PROMPTS, block=block)
        assert_close(got, wanted)
        if head == "F32":  # transformers' weights are not rounded
            assert_close(got, reference)


@pytest.mark.parametrize("isa", available())
def test_every_kernel_set_and_number_of_threads(made, isa, tmp_path):
    jobs, wanted = [], {}
    for shape, (weights, reference, folder) in made.items():
        for kind in KINDS:
            path = str(write_gguf(folder / f"{kind}.gguf", weights, kind))
            jobs += [
                [f"{shape}-{kind}-{t}", path, PROMPTS, t, b, "f32"] for t, b in ((1, 264), (2, 1))
            ]
            wanted |= {f"{shape}-{kind}-{threads}": reference for threads in (1, 2)}
    jobs.append(["three threads", jobs[-1][1], PROMPTS, 3, 264, "f32"])
    wanted["three threads"] = reference
    for name, got in logits_under(isa, jobs, tmp_path).items():
        assert_close(got, wanted[name])


@pytest.mark.parametrize("kind", KINDS)
def test_long_prompts_cross_blocks_and_tiles(tmp_path, kind):
    weights = random_weights(Tiny(), 4, ternary=True)
    path = write_gguf(tmp_path / "m.gguf", weights, kind)
    prompts = np.random.default_rng(5).integers(0, 300, (1, 100)).tolist()
    wanted = [OracleBitNet(path).logits(ids) for ids in prompts]
    for block in (264, 33, 12):
        assert_close(engine_logits(path, prompts, block=block), wanted, share=0)


def test_a_half_precision_cache_costs_less_than_the_limit(shape):
    weights, reference, folder = shape
    path = write_gguf(folder / "half.gguf", weights, "TQ2_0")
    assert_close(engine_logits(path, PROMPTS, kv="f16"), reference, share=0)


@pytest.mark.parametrize(
    "tiny",
    [
        Tiny(activation=None),
        replace(FORK, activation=None),
        replace(FORK, arch="bitnet-25", activation=None),
    ],
)
def test_a_file_that_names_no_activation_means_its_architecture(tmp_path, tiny):
    weights = random_weights(tiny, 6, ternary=True)
    path = write_gguf(tmp_path / "m.gguf", weights, "I2_S")
    oracle = OracleBitNet(path)
    assert oracle.activation == ("silu" if tiny.arch == "bitnet" else "relu2")
    assert_close(engine_logits(path, PROMPTS), [oracle.logits(ids) for ids in PROMPTS])


def test_the_fork_may_untie_the_output(tmp_path):
    weights = random_weights(replace(FORK, tied=False), 7, ternary=True)
    path = write_gguf(tmp_path / "m.gguf", weights, "I2_S", "F16")
    oracle = OracleBitNet(path)
    assert_close(engine_logits(path, PROMPTS), [oracle.logits(ids) for ids in PROMPTS])


@pytest.mark.parametrize("kind", KINDS)
def test_scales_in_tensors_of_their_own(tmp_path, kind):
    weights = random_weights(Tiny(), 8, ternary=True)
    extra = {
        "blk.0.attn_q.scale": np.array([1.7], np.float32),
        "blk.1.attn_output.scale": np.array([0.3], np.float32),
        "blk.1.ffn_down.scale": np.array([2.5], np.float32),
    }
    path = write_gguf(tmp_path / "m.gguf", weights, kind, extra=extra)
    plain = OracleBitNet(write_gguf(tmp_path / "plain.gguf", weights, kind))
    oracle = OracleBitNet(path)
    wanted = [oracle.logits(ids) for ids in PROMPTS]
    assert np.abs(wanted[0] - plain.logits(PROMPTS[0])).max() > 0.05
    assert_close(engine_logits(path, PROMPTS), wanted)
