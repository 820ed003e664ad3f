"""Mixtures of experts beyond equal logits: shapes of files, what a token reads, adapters, many threads."""

import numpy as np
import pytest
from gguf_writing import write_gguf
from oracle_gguf import read
from oracle_models import assert_close
from run_logits import engine_logits
from tiny_adapters import Adapted
from tiny_families import FAMILIES, MIXTURES, make

from backend.errors import SternaError
from backend.inference import load_model
from backend.inference.memory import buffer_bytes

PROMPTS = [np.random.default_rng(n).integers(0, 300, n).tolist() for n in (300, 2, 1)]


@pytest.mark.parametrize("name", MIXTURES)
@pytest.mark.parametrize("kind", ["F16", "Q8_0", "TQ2_0", "IQ2_XXS", "IQ3_S"])
def test_a_token_does_not_depend_on_its_neighbours(tmp_path, name, kind):
    """Experts of one token, of a few, of a block: another choice of experts would be far off."""
    sizes = {"hidden_size": 256, "intermediate_size": 256, "num_attention_heads": 8}
    if "qwen" in name:
        sizes |= {"moe_intermediate_size": 256}
    said = {"expert_feed_forward_length": 256} if "qwen" in name else {}
    if name == "qwen2moe":
        sizes |= {"shared_expert_intermediate_size": 512}
        said |= {"expert_shared_feed_forward_length": 512}
    made = make(tmp_path / "m.gguf", FAMILIES[name], kind=kind, header=said, **sizes)
    prompt = [PROMPTS[0][:64]]  # beyond, attention cuts the positions of one token in parts
    whole = engine_logits(made.path, prompt, threads=3)[0]
    for block in (1, 50, 13):
        got = engine_logits(made.path, prompt, block=block, threads=3)[0]
        assert_close([got], [whole], limit=2e-5, share=0)


def test_one_expert_of_many_and_all_of_them(tmp_path):
    for used in (1, 7):
        made = make(tmp_path / f"{used}.gguf", FAMILIES["qwen3moe"], num_experts_per_tok=used,
                    header={"expert_used_count": used})  # fmt: skip
        assert_close(engine_logits(made.path, PROMPTS), made.logits(PROMPTS), limit=2e-5, share=0)


def test_plain_layers_among_mixtures(tmp_path):
    made = make(tmp_path / "m.gguf", FAMILIES["qwen3moe"], num_hidden_layers=3, mlp_only_layers=[1])
    assert_close(engine_logits(made.path, PROMPTS), made.logits(PROMPTS), limit=2e-5, share=0)
    model = load_model(made.path)
    assert buffer_bytes(model.hyper, model.threads) == model._engine.buffer_bytes
    model.close()


def test_the_weights_of_experts_may_be_scaled_and_left_as_they_are(tmp_path):
    """By the header's word, as other models of these architectures have it."""
    family = FAMILIES["qwen3moe"]
    plain = make(tmp_path / "plain.gguf", family, norm_topk_prob=False,
                 header={"expert_weights_norm": False})  # fmt: skip
    assert_close(engine_logits(plain.path, PROMPTS), plain.logits(PROMPTS), limit=2e-5, share=0)
    scaled = make(tmp_path / "scaled.gguf", family, header={"expert_weights_scale": 2.5})
    layers = scaled.model.model.layers
    for layer in layers:
        layer.mlp.experts.down_proj.data *= 2.5
    assert_close(engine_logits(scaled.path, PROMPTS), scaled.logits(PROMPTS), limit=2e-5, share=0)


def test_older_files_have_a_tensor_for_each_expert(tmp_path):
    made = make(tmp_path / "new.gguf", FAMILIES["mixtral"])
    metadata, weights = read(made.path)
    tensors = {}
    for name, weight in weights.items():
        if "_exps" in name:
            for i, part in enumerate(weight.value.numpy()):
                tensors[name.replace("_exps", f".{i}")] = np.ascontiguousarray(part)
        else:
            tensors[name] = weight.value.numpy()
    header = {k: v for k, v in metadata.items() if not k.startswith("GGUF.")}
    old = write_gguf(tmp_path / "old.gguf", header, tensors)
    for got, wanted in zip(
        engine_logits(old, PROMPTS), engine_logits(made.path, PROMPTS), strict=True
    ):
        np.testing.assert_array_equal(got, wanted)


@pytest.mark.parametrize("name", MIXTURES)
def test_a_token_reads_only_its_experts(tmp_path, name):
    made = make(tmp_path / "m.gguf", FAMILIES[name])
    _, weights = read(made.path)
    model = load_model(made.path)
    e = model.hyper.experts
    wanted = sum(
        w.value.numel() * 4 * (e.used / e.count if "_exps" in n else 1)
        for n, w in weights.items()
        if (w.value.ndim > 1 and n != "token_embd.weight") or "gate_inp" in n
    )
    assert model.bytes_per_token == pytest.approx(wanted, abs=1)
    model.close()


def test_adapters_on_attention_router_and_shared_expert(tmp_path):
    made = make(tmp_path / "base.gguf", FAMILIES["qwen2moe"])
    peft = Adapted(made.model, "qwen2moe")
    targets = ["q_proj", "v_proj", "gate_proj", "down_proj", "shared_expert_gate"]
    file = peft.add("one", tmp_path / "one.gguf", targets, rank=2)
    model = load_model(made.path, adapter=file)
    got = [model.logits(ids) for ids in PROMPTS]
    assert_close(got, peft.logits(PROMPTS, {"one": 1}), limit=2e-5, share=0)
    model.close()


@pytest.mark.parametrize(
    ("header", "kind", "said"),
    [
        ({"expert_used_count": 8}, "corrupt", "8 of 7 experts"),
        ({"expert_used_count": 0}, "corrupt", "expert_used_count"),
        ({"expert_count": 1 << 19, "expert_used_count": 2}, "corrupt", "experts"),
        ({"expert_count": 6}, "corrupt", "shape"),
        ({"expert_gating_func": 2}, "unsupported_arch", "softmax"),
        ({"expert_feed_forward_length": 31}, "corrupt", "shape"),
    ],
)
def test_numbers_that_do_not_fit_are_refused(tmp_path, header, kind, said):
    made = make(tmp_path / "m.gguf", FAMILIES["qwen3moe"], header=header)
    with pytest.raises(SternaError, match=said) as error:
        load_model(made.path)
    assert error.value.kind == kind


def test_experts_of_a_type_that_has_one_scale_for_all(tmp_path):
    made = make(tmp_path / "m.gguf", FAMILIES["mixtral"], hidden_size=256, intermediate_size=256,
                num_attention_heads=8)  # fmt: skip
    data = bytearray(made.path.read_bytes())
    at = (
        data.index(b"blk.0.ffn_up_exps.weight") + 24 + 4 + 3 * 8
    )  # name, dimensions, extents: the type
    assert data[at : at + 4] == bytes(4)
    data[at] = 36
    made.path.write_bytes(data)
    with pytest.raises(SternaError) as error:
        load_model(made.path)
    assert error.value.kind in ("unsupported_type", "corrupt")
