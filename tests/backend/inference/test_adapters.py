"""LoRA adapters beside the base: what peft computes, on any base, several at once, switched live."""

from dataclasses import replace

import numpy as np
import pytest
from gguf_writing import Raw
from oracle_models import LLAMA, Tiny, assert_close, random_weights, to_transformers, write_gguf
from run_logits import logits_under
from tiny_adapters import Adapted, write_adapter
from tiny_families import FAMILIES, make

from backend.errors import SternaError
from backend.inference import Sampling, load_model
from backend.inference import model as model_module
from backend.inference.adapters import parse_spec
from ext.cpu import available

PROMPTS = [np.random.default_rng(n).integers(0, 250, n).tolist() for n in (70, 5, 1)]
LIMIT = 2e-5  # of float32 sums in another order
HALF = 1e-3  # A and B in half precision
EVERY = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
FUSED = ["qkv_proj", "o_proj", "gate_up_proj", "down_proj"]


def logits(model, block=264):
    usual, model_module.BLOCK_TOKENS = model_module.BLOCK_TOKENS, block
    try:
        return [model.logits(ids) for ids in PROMPTS]
    finally:
        model_module.BLOCK_TOKENS = usual


def differs(got, base):
    return all(
        np.linalg.norm(a - b) > 0.02 * np.linalg.norm(b) for a, b in zip(got, base, strict=True)
    )


def adapted(made):
    family = made.family
    return Adapted(made.model, family.arch, names=family.names, interleaved=family.interleaved)


@pytest.mark.parametrize("kind", ["F32", "F16"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen3", "phi3", "gemma3", "granite"])
def test_equals_peft(tmp_path, name, kind):
    made = make(tmp_path / "base.gguf", FAMILIES[name], kind=kind)
    base = made.logits(PROMPTS)
    peft = adapted(made)
    targets = FUSED if name == "phi3" else EVERY
    ranks = {targets[0]: 3, "down_proj": 17}
    file = peft.add("one", tmp_path / "one.gguf", targets, rank=4, ranks=ranks)
    wanted = peft.logits(PROMPTS, {"one": 1})
    assert differs(wanted, base)
    model = load_model(made.path, threads=2, adapter=file)
    for block in (264, 1, 7):
        assert_close(logits(model, block), wanted, limit=LIMIT, share=0)
    model.set_adapters()
    assert_close(logits(model), base, limit=2e-5, share=0)
    model.close()


def test_adapters_in_half_precision(tmp_path):
    made = make(tmp_path / "base.gguf", FAMILIES["llama"])
    peft = adapted(made)
    one = peft.add("one", tmp_path / "one.gguf", EVERY, rank=4, half=True)
    two = peft.add("two", tmp_path / "two.gguf", EVERY, rank=3, seed=2)
    model = load_model(made.path, adapter=one)
    assert_close(logits(model), peft.logits(PROMPTS, {"one": 1}), limit=HALF, share=0)
    halves = model._engine.side_bytes
    model.set_adapters([one, two])
    assert_close(logits(model), peft.logits(PROMPTS, {"one": 1, "two": 1}), limit=HALF, share=0)
    assert model._engine.side_bytes == pytest.approx(halves * 2 * 7 / 4, rel=0.1)
    model.close()


@pytest.mark.parametrize("kind", ["I2_S", "TQ1_0", "TQ2_0"])
@pytest.mark.parametrize("tiny", [Tiny(), LLAMA], ids=["bitnet", "llama"])
def test_a_ternary_base_keeps_its_codes(tmp_path, tiny, kind):
    weights = random_weights(tiny, 2, ternary=True)
    path = write_gguf(tmp_path / "base.gguf", weights, kind)
    peft = Adapted(to_transformers(weights), tiny.arch, interleaved=not tiny.bitnet)
    file = peft.add("one", tmp_path / "one.gguf", EVERY, rank=8, size=0.15)
    wanted = peft.logits(PROMPTS, {"one": 1})
    model = load_model(path, threads=2)
    base = logits(model)
    assert max(np.abs(a - b).max() for a, b in zip(wanted, base, strict=True)) > 0.05
    model.set_adapters(file)
    for block in (264, 1, 5):
        assert_close(logits(model, block), wanted, limit=1e-3, share=0)
    model.set_adapters([])
    for got, first in zip(logits(model), base, strict=True):
        np.testing.assert_array_equal(got, first)
    model.close()


@pytest.mark.parametrize("isa", available())
def test_every_kernel_set(tmp_path, isa):
    made = make(tmp_path / "base.gguf", FAMILIES["qwen3"], kind="Q8_0")
    peft = adapted(made)
    file = peft.add("one", tmp_path / "one.gguf", EVERY, rank=5)
    wanted = peft.logits(PROMPTS, {"one": 1})
    jobs = [
        [f"{t}", str(made.path), PROMPTS, t, b, "f32", str(file)] for t, b in ((1, 264), (3, 4))
    ]
    for got in logits_under(isa, jobs, tmp_path).values():
        assert_close(got, wanted, limit=0.03, share=0)  # the base's own rounding of activations


def test_several_at_once_each_with_its_scale_and_switched_live(tmp_path):
    made = make(tmp_path / "base.gguf", FAMILIES["llama"])
    base = made.logits(PROMPTS)
    peft = adapted(made)
    one = peft.add("one", tmp_path / "one.gguf", ["q_proj", "down_proj"], rank=4, seed=1)
    two = peft.add("two", tmp_path / "two.gguf", EVERY, rank=3, alpha=2, seed=2)
    model = load_model(made.path, adapter=[f"{one}:0.5", two])
    assert model.adapters == ((one, 0.5), (two, 1.0))
    steps = [
        ({"one": 0.5, "two": 1}, None),
        ({"one": 1}, [one]),
        ({"two": -0.25, "one": 2}, [f"{two}:-0.25", f"{one}:2"]),
        ({"one": 0}, f"{one}:0"),
    ]
    for scales, specs in steps:
        if specs is not None:
            model.set_adapters(specs)
        assert_close(logits(model), peft.logits(PROMPTS, scales), limit=LIMIT, share=0)
    model.set_adapters(None)
    assert_close(logits(model), base, limit=2e-5, share=0)
    model.close()


@pytest.mark.parametrize("head", ["F32", "Q6_K"])
@pytest.mark.parametrize("tied", [False, True])
def test_embeddings_and_output_matrix(tmp_path, head, tied):
    """Also where the output matrix is split to be searched: with an adapter all of it is read."""
    weights = random_weights(replace(LLAMA, tied=False, layers=1), 4, ternary=False)
    if tied:  # peft does not untie what is tied: the weights are equal, and two
        weights.value["output.weight"] = weights.value["token_embd.weight"]
    peft = Adapted(to_transformers(weights), "llama", interleaved=True)
    file = peft.add("one", tmp_path / "one.gguf", ["embed_tokens", "lm_head", "q_proj"], rank=6)
    wanted = peft.logits(PROMPTS, {"one": 1})
    if tied:
        del weights.value["output.weight"]
    path = write_gguf(tmp_path / "base.gguf", weights, "F32", head)
    model = load_model(path, adapter=file)
    limit = LIMIT if head == "F32" else 0.04
    assert_close(logits(model), wanted, limit=limit, share=0)
    told = next(model.stream(PROMPTS[0], Sampling(temperature=0, max_tokens=1)))
    assert told.id == logits(model)[0][-1].argmax()
    model.close()


def test_another_adapter_forgets_what_was_cached(tmp_path):
    made = make(tmp_path / "base.gguf", FAMILIES["qwen2"])
    peft = adapted(made)
    file = peft.add("one", tmp_path / "one.gguf", EVERY)
    model = load_model(made.path)
    greedy = Sampling(temperature=0, max_tokens=3)
    for _ in range(2):
        list(model.stream(PROMPTS[0], greedy))
    assert model.last.cached_tokens == 69
    plain = model.bytes_per_token
    model.set_adapters([file])
    told = [token.id for token in model.stream(PROMPTS[0], greedy)]
    assert model.last.cached_tokens == 0
    assert plain < model.bytes_per_token < plain + file.stat().st_size
    text = list(PROMPTS[0])
    wanted = peft.logits([text + told], {"one": 1})[0]
    assert told == wanted[len(text) - 1 : -1].argmax(1).tolist()
    model.close()


A, B = np.ones((2, 64), np.float32), np.ones((64, 2), np.float32)
NAME = "blk.0.attn_q.weight"
PAIR = {NAME + ".lora_a": A, NAME + ".lora_b": B}
WRONG = {
    "no adapter": (PAIR, {"general__type": None}, "not_an_adapter", "not an adapter"),
    "another kind": (PAIR, {"adapter__type": "control"}, "unsupported_adapter", "control"),
    "switched on by tokens": (
        PAIR, {"adapter__alora__invocation_tokens": [1, 2]}, "unsupported_adapter", "aLoRA"),
    "another architecture": (PAIR, {"general__architecture": "gemma2"}, "wrong_adapter", "gemma2"),
    "half a pair": ({NAME + ".lora_a": A}, {}, "corrupt", "lora_b"),
    "nothing": ({}, {}, "corrupt", "nothing"),
    "a norm": (
        {**PAIR, "blk.0.attn_norm.weight": np.ones(64, np.float32)}, {}, "unsupported_adapter",
        "attn_norm"),
    "experts": (
        {"blk.0.ffn_up_exps.weight.lora_a": np.ones((3, 2, 64), np.float32),
         "blk.0.ffn_up_exps.weight.lora_b": np.ones((3, 64, 2), np.float32)},
        {}, "unsupported_adapter", "experts"),
    "unknown tensor": (
        {"blk.9.attn_q.weight.lora_a": A, "blk.9.attn_q.weight.lora_b": B}, {}, "wrong_adapter",
        "blk.9.attn_q"),
    "a vector": (
        {"blk.0.attn_norm.weight.lora_a": A, "blk.0.attn_norm.weight.lora_b": B}, {},
        "wrong_adapter", "attn_norm"),
    "another size": (
        {NAME + ".lora_a": np.ones((2, 32), np.float32), NAME + ".lora_b": B}, {}, "wrong_adapter",
        "another size"),
    "ranks that differ": (
        {NAME + ".lora_a": np.ones((3, 64), np.float32), NAME + ".lora_b": B}, {}, "corrupt", "ranks"),
    "no numbers": ({NAME + ".lora_a": A * np.nan, NAME + ".lora_b": B}, {}, "corrupt", "no numbers"),
    "alpha is no number": (PAIR, {"adapter__lora__alpha": float("nan")}, "corrupt", "alpha"),
    "a type that is not known": (
        {NAME + ".lora_a": Raw(24, (2, 64), bytes(128)), NAME + ".lora_b": B}, {}, "corrupt", "type"),
    "terminal codes in a name": (
        {"a\x1b[2J.lora_a": A, "a\x1b[2J.lora_b": B}, {}, "wrong_adapter", "␛"),
}  # fmt: skip


@pytest.fixture(scope="module")
def speaking(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speaking")
    made = make(folder / "base.gguf", FAMILIES["llama"])
    good = write_adapter(folder / "good.gguf", "llama", PAIR, 4)
    model = load_model(made.path, adapter=good)
    yield model, good
    model.close()


@pytest.mark.parametrize("case", WRONG)
def test_what_does_not_fit_is_refused_and_changes_nothing(speaking, tmp_path, case):
    model, good = speaking
    tensors, header, kind, said = WRONG[case]
    bad = write_adapter(tmp_path / "bad.gguf", "llama", tensors, 4, **header)
    before = logits(model)
    with pytest.raises(SternaError) as error:
        model.set_adapters([good, bad])
    assert error.value.kind == kind
    assert said in error.value.message
    assert error.value.hint
    assert model.adapters == ((good, 1.0),)
    for a, b in zip(logits(model), before, strict=True):
        np.testing.assert_array_equal(a, b)


def test_missing_and_truncated_files(speaking, tmp_path):
    model, good = speaking
    with pytest.raises(SternaError) as error:
        model.set_adapters(tmp_path / "none.gguf")
    assert error.value.kind == "not_found"
    short = tmp_path / "short.gguf"
    short.write_bytes(good.read_bytes()[:-100])
    with pytest.raises(SternaError) as error:
        model.set_adapters(short)
    assert error.value.kind == "truncated"


def test_too_many_ranks_together(speaking, tmp_path):
    model, good = speaking
    wide = {NAME + ".lora_a": np.ones((3000, 64), np.float32), NAME + ".lora_b": np.ones((64, 3000), np.float32)}  # fmt: skip
    file = write_adapter(tmp_path / "wide.gguf", "llama", wide, 0)
    model.set_adapters([file])
    with pytest.raises(SternaError, match="6000 ranks"):
        model.set_adapters([file, file])
    model.set_adapters(good)


def test_a_scale_behind_a_colon(tmp_path):
    odd = tmp_path / "a:0.5"
    odd.touch()
    assert parse_spec(odd) == (odd, 1.0)
    assert parse_spec(f"{odd}:2") == (odd, 2.0)
    assert parse_spec("x.gguf:-1e-1") == (tmp_path.__class__("x.gguf"), -0.1)
    assert parse_spec("C:x") == (tmp_path.__class__("C:x"), 1.0)
    with pytest.raises(SternaError, match="no scale"):
        parse_spec("x.gguf:inf")
