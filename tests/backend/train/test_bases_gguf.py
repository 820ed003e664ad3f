"""A GGUF file as a base: what is trained on computes what the engine computes."""

import numpy as np
import pytest
import torch
from ggufs import tiny_bitnet, tiny_llama
from tiny_families import FAMILIES, MIXTURES, make

from backend.errors import SternaError
from backend.inference import load_model
from backend.train import catalogue, defaults
from backend.train.bases.gguf import load_gguf
from backend.train.bases.ternary import TernaryLinear
from backend.train.recipe import Base, Data, Recipe
from backend.train.source import find as found
from backend.train.source import shape_of
from backend.train.techniques import technique
from backend.train.techniques.technique import count_trainable

IDS = [5, 17, 250, 3, 99, 120, 7, 44, 200, 6, 33, 8]


def find(path):
    return found(str(path))


def trained_on(path):
    model = load_gguf(path, torch.float32)
    with torch.no_grad():
        return model, model(torch.tensor([IDS])).logits[0].numpy()


def engine(path):
    model = load_model(path, threads=1)
    logits = model.logits(IDS)
    model.close()
    return logits


UNTRAINED = ("qwen2moe", "granitemoe")


@pytest.mark.parametrize("name", UNTRAINED)
def test_other_mixtures_of_experts_are_refused_before_and_at_loading(tmp_path, name):
    assert name in MIXTURES
    made = make(tmp_path / "m.gguf", FAMILIES[name])
    for look in (lambda: load_gguf(made.path, torch.float32), lambda: shape_of(find(made.path))):
        with pytest.raises(SternaError, match="mixture of experts") as refused:
            look()
        assert refused.value.hint


@pytest.mark.parametrize("name", ["mixtral", "qwen3moe"])
def test_experts_stay_as_they_are_and_count_as_what_they_are(tmp_path, name):
    made = make(tmp_path / "m.gguf", FAMILIES[name])
    model = load_gguf(made.path, torch.float32)
    shape = shape_of(find(made.path))
    assert shape.params == sum(p.numel() for p in model.parameters())
    assert {m.module for m in shape.matrices} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    recipe = Recipe(base=Base(model=str(made.path)), data=Data(path=""))
    spec = defaults.before(recipe, shape).technique
    tuned = technique(spec).attach(model)
    assert count_trainable(tuned) == catalogue.trainable(spec, shape)
    learns = {n for n, p in tuned.named_parameters() if p.requires_grad}
    assert learns
    assert all("self_attn" in n for n in learns)


@pytest.mark.parametrize("name", [name for name in FAMILIES if name not in UNTRAINED])
def test_every_family_means_the_same_model(tmp_path, name):
    made = make(tmp_path / "m.gguf", FAMILIES[name])
    model, logits = trained_on(made.path)
    wanted = made.logits([IDS])[0]
    assert np.abs(logits - wanted).max() <= 2e-5 * max(1, np.abs(wanted).max())
    assert not any(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("kind", ["F16", "BF16", "Q8_0", "Q4_0"])
def test_quantised_weights_are_those_of_the_file(tmp_path, kind):
    made = make(tmp_path / "m.gguf", FAMILIES["qwen2"], kind=kind, table=kind)
    _, logits = trained_on(made.path)
    assert np.abs(logits - made.logits([IDS])[0]).max() < 1e-4


@pytest.mark.parametrize("kind", ["I2_S", "TQ1_0", "TQ2_0"])
def test_a_ternary_file_is_held_as_its_codes_and_computes_as_the_engine(tmp_path, kind):
    made = tiny_bitnet(tmp_path / "m.gguf", tensor_type=kind)
    model, logits = trained_on(made.path)
    layers = [m for m in model.modules() if isinstance(m, TernaryLinear)]
    assert len(layers) == 14
    q = model.model.layers[0].self_attn.q_proj
    assert np.array_equal(q.weight.numpy(), made.weights["blk.0.attn_q.weight"])
    wanted = engine(made.path)
    assert np.abs(logits - wanted).max() <= 1e-3 * np.abs(wanted).max()
    assert np.array_equal(logits.argmax(-1), wanted.argmax(-1))


def test_a_ternary_llama_too(tmp_path):
    made = tiny_llama(
        tmp_path / "m.gguf", hidden=256, ffn=512, tensor_type="TQ2_0", embedding_type="F16"
    )
    model, logits = trained_on(made.path)
    assert sum(isinstance(m, TernaryLinear) for m in model.modules()) == 14
    wanted = engine(made.path)
    assert np.abs(logits - wanted).max() <= 1e-3 * np.abs(wanted).max()


def test_the_starter_is_a_base():
    from backend import paths

    path = paths.asset("starter.gguf")
    _, logits = trained_on(path)
    wanted = engine(path)
    # its output matrix is Q8_0: the engine rounds activations there too
    assert np.abs(logits - wanted).max() <= 2e-2 * np.abs(wanted).max()


def test_llama_3_s_factors_hold(tmp_path):
    import gguf
    from gguf_writing import write_gguf

    plain = tiny_llama(tmp_path / "plain.gguf", context=512)
    factors = np.linspace(1, 8, 8, dtype=np.float32)
    stored = {
        t.name: np.array(t.data).reshape(tuple(reversed(t.shape.tolist())))
        for t in gguf.GGUFReader(plain.path).tensors
    }
    write_gguf(tmp_path / "m.gguf", plain.metadata, {**stored, "rope_freqs.weight": factors})
    _, without = trained_on(plain.path)
    _, logits = trained_on(tmp_path / "m.gguf")
    wanted = engine(tmp_path / "m.gguf")
    assert np.abs(logits - wanted).max() < 1e-4
    assert np.abs(logits - without).max() > 1e-2


def test_a_file_with_a_part_that_is_not_known_is_refused(tmp_path):
    import gguf
    from gguf_writing import write_gguf

    plain = tiny_llama(tmp_path / "plain.gguf")
    stored = {
        t.name: np.array(t.data).reshape(tuple(reversed(t.shape.tolist())))
        for t in gguf.GGUFReader(plain.path).tensors
    }
    more = {**stored, "blk.0.attn_extra.weight": np.ones((4, 4), np.float32)}
    write_gguf(tmp_path / "more.gguf", plain.metadata, more)
    with pytest.raises(SternaError, match="attn_extra") as error:
        load_gguf(tmp_path / "more.gguf", torch.float32)
    assert error.value.kind == "untrainable"
    del stored["blk.1.ffn_up.weight"]
    write_gguf(tmp_path / "less.gguf", plain.metadata, stored)
    with pytest.raises(SternaError, match="up_proj") as error:
        load_gguf(tmp_path / "less.gguf", torch.float32)
    assert error.value.kind == "corrupt"
