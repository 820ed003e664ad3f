"""What was learned, written for others: every scale in it, rows in the file's order, merges that agree."""

import json

import gguf
import numpy as np
import pytest
import torch
from folders import write_tokenizer
from ggufs import tiny_bitnet, tiny_llama
from learnt import IDS, TECHNIQUES, learned, logits
from oracle_models import LLAMA, random_weights, write_gguf
from safetensors.torch import load_file, save_file
from tiny_families import FAMILIES, make
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM

from backend.errors import SternaError
from backend.inference import load_model
from backend.train.bases.gguf import load_gguf
from backend.train.export.gguf_adapter import write_adapter
from backend.train.export.learned import read_changes
from backend.train.export.merged_folder import write_merged_folder
from backend.train.export.merged_gguf import write_full, write_merged
from backend.train.export.target import target_of
from backend.train.source import find, shape_of


def beside(base, adapter):
    """Logits of a base with a GGUF adapter beside it, computed in transformers from what the file says."""
    from backend.gguf import open_gguf
    from backend.inference.hyper import read_hyper
    from backend.train.tensor_names import from_pairs, module_of, paired

    model = load_gguf(base, torch.float32)
    with open_gguf(base) as file:
        h = read_hyper(file)
    reader = gguf.GGUFReader(adapter)
    assert reader.fields["general.type"].contents() == "adapter"
    assert reader.fields["adapter.type"].contents() == "lora"
    assert reader.fields["general.architecture"].contents() == h.arch
    alpha = reader.fields["adapter.lora.alpha"].contents()
    halves = {t.name: np.array(t.data) for t in reader.tensors}
    for name in [n.removesuffix(".lora_a") for n in halves if n.endswith(".lora_a")]:
        a, b = halves[f"{name}.lora_a"], halves[f"{name}.lora_b"]
        delta = (alpha / a.shape[0] if alpha else 1.0) * b.astype(np.float64) @ a
        stem = name.removesuffix(".weight")
        if paired(h.arch, stem):
            delta = from_pairs(delta, h.heads if stem.endswith("attn_q") else h.kv_heads)
        module = model.get_submodule(module_of(h.arch, stem))
        module.weight.data = (module.weight.double() + torch.from_numpy(delta)).float()
    return logits(model)


@pytest.mark.parametrize("name", [n for n in TECHNIQUES if n != "dora"])
def test_a_gguf_adapter_says_all_that_peft_computes(tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf").path
    wanted = learned(load_gguf(base, torch.float32), name, tmp_path / "peft")
    changes = read_changes(tmp_path / "peft")
    write_adapter(changes, target_of(find(str(base))), tmp_path / "a.gguf", "mine")
    assert np.abs(beside(base, tmp_path / "a.gguf") - wanted).max() < 1e-3
    model = load_model(base, adapter=tmp_path / "a.gguf", threads=1, kv="f32")
    said = model.logits(IDS)
    model.close()
    assert np.abs(said - wanted).max() < 1e-3  # the engine itself
    assert (said.argmax(1) == wanted.argmax(1)).all()
    plain = logits(load_gguf(base, torch.float32))
    assert np.abs(plain - wanted).max() > 1e-2


@pytest.mark.parametrize(
    "family", ["qwen2", "gemma2", "phi3", "granite", "llama with yarn", "mixtral", "qwen3moe"]
)
def test_every_architecture_has_its_rows_in_its_order(tmp_path, family):
    base = make(tmp_path / "base.gguf", FAMILIES[family]).path
    shape = shape_of(find(str(base)))
    names = [m.module for m in shape.matrices] if shape.mixture else "all-linear"
    wanted = learned(load_gguf(base, torch.float32), "lora", tmp_path / "peft", targets=names)
    write_adapter(
        read_changes(tmp_path / "peft"), target_of(find(str(base))), tmp_path / "a.gguf", "mine"
    )
    assert np.abs(beside(base, tmp_path / "a.gguf") - wanted).max() < 1e-3
    model = load_model(base, adapter=tmp_path / "a.gguf", threads=1, kv="f32")
    said = model.logits(IDS)
    model.close()
    assert np.abs(said - wanted).max() < 1e-3 * max(1, np.abs(wanted).max())


def test_ranks_and_alphas_by_module_are_obeyed(tmp_path):
    """As other programs that use peft may have made it: alpha_pattern, rank_pattern."""
    from peft import LoraConfig, get_peft_model

    base = tiny_llama(tmp_path / "base.gguf").path
    torch.manual_seed(0)
    config = LoraConfig(
        r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=False, use_rslora=True,
        rank_pattern={"layers.0.self_attn.q_proj": 2}, alpha_pattern={"v_proj": 32},
    )  # fmt: skip
    tuned = get_peft_model(load_gguf(base, torch.float32), config)
    tuned.save_pretrained(tmp_path / "peft")
    changes = read_changes(tmp_path / "peft")
    assert {c.rank for c in changes} == {2, 4}
    write_adapter(changes, target_of(find(str(base))), tmp_path / "a.gguf", "mine")
    wanted = logits(tuned)
    assert np.abs(beside(base, tmp_path / "a.gguf") - wanted).max() < 1e-3 * np.abs(wanted).max()


def test_a_checkpoint_of_delta_lora_says_all_too(tmp_path):
    base = tiny_llama(tmp_path / "base.gguf").path
    wanted = learned(load_gguf(base, torch.float32), "delta-lora", tmp_path / "c", checkpoint=True)
    write_adapter(
        read_changes(tmp_path / "c"), target_of(find(str(base))), tmp_path / "a.gguf", "m"
    )
    assert np.abs(beside(base, tmp_path / "a.gguf") - wanted).max() < 1e-3


@pytest.mark.parametrize("kind", ["I2_S", "TQ2_0"])
def test_an_adapter_of_a_ternary_base_stays_beside_it(tmp_path, kind):
    base = tiny_bitnet(tmp_path / "base.gguf", tensor_type=kind).path
    model = load_gguf(base, torch.float32)
    codes = model.model.layers[0].self_attn.q_proj.packed.clone()
    learned(model, "lora", tmp_path / "peft")
    changes, target = read_changes(tmp_path / "peft"), target_of(find(str(base)))
    write_adapter(changes, target, tmp_path / "a.gguf", "mine")
    halves = {t.name: np.array(t.data) for t in gguf.GGUFReader(tmp_path / "a.gguf").tensors}
    q = next(c for c in changes if c.module.endswith("0.self_attn.q_proj"))
    assert np.array_equal(halves["blk.0.attn_q.weight.lora_b"], q.b)  # no pairs here
    with pytest.raises(SternaError, match="-1, 0 and 1") as error:
        write_merged(changes, target, base, tmp_path / "m.gguf")
    assert error.value.kind == "ternary_merge"
    assert not (tmp_path / "m.gguf").exists()
    assert torch.equal(model.model.layers[0].self_attn.q_proj.base_layer.packed, codes)


def test_dora_can_only_be_merged(tmp_path):
    base = tiny_llama(tmp_path / "base.gguf").path
    wanted = learned(load_gguf(base, torch.float32), "dora", tmp_path / "peft")
    changes, target = read_changes(tmp_path / "peft"), target_of(find(str(base)))
    with pytest.raises(SternaError) as error:
        write_adapter(changes, target, tmp_path / "a.gguf", "mine")
    assert error.value.kind == "no_factors"
    write_merged(changes, target, base, tmp_path / "m.gguf")
    assert np.abs(logits(load_gguf(tmp_path / "m.gguf", torch.float32)) - wanted).max() < 1e-3


@pytest.mark.parametrize("name", ["lora", "vera", "delta-lora"])
def test_a_merged_file_of_a_float_base_is_base_and_adapter(tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf").path
    wanted = learned(load_gguf(base, torch.float32), name, tmp_path / "peft")
    write_merged(
        read_changes(tmp_path / "peft"), target_of(find(str(base))), base, tmp_path / "m.gguf"
    )
    assert np.abs(logits(load_gguf(tmp_path / "m.gguf", torch.float32)) - wanted).max() < 1e-3


def test_a_merge_into_quantised_weights_keeps_their_type_and_all_else_byte_for_byte(tmp_path):
    base = tiny_llama(tmp_path / "base.gguf", tensor_type="Q8_0", embedding_type="Q8_0").path
    wanted = learned(load_gguf(base, torch.float32), "some", tmp_path / "peft")
    write_merged(
        read_changes(tmp_path / "peft"), target_of(find(str(base))), base, tmp_path / "m.gguf"
    )
    old = {t.name: t for t in gguf.GGUFReader(base).tensors}
    changed = set()
    for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors:
        assert t.tensor_type == old[t.name].tensor_type
        if not np.array_equal(t.data, old[t.name].data):
            changed.add(t.name)
    assert changed == {
        f"blk.{i}.{part}.weight" for i in (0, 1) for part in ("attn_q", "attn_k", "ffn_down")
    }
    assert np.abs(logits(load_gguf(tmp_path / "m.gguf", torch.float32)) - wanted).max() < 0.1


@pytest.mark.parametrize(("kind", "wider"), [("IQ2_XS", "Q3_K"), ("IQ3_S", "Q4_K")])
def test_a_merge_into_a_codebook_becomes_the_next_wider_type(tmp_path, kind, wider):
    base = write_gguf(tmp_path / "b.gguf", random_weights(LLAMA, 1, ternary=False), kind)
    model = load_gguf(base, torch.float32)
    plain = logits(model)
    wanted = learned(model, "some", tmp_path / "peft")
    write_merged(
        read_changes(tmp_path / "peft"), target_of(find(str(base))), base, tmp_path / "m.gguf"
    )
    types = {t.name: t.tensor_type.name for t in gguf.GGUFReader(tmp_path / "m.gguf").tensors}
    assert types["blk.0.attn_q.weight"] == types["blk.1.ffn_down.weight"] == wider
    assert types["blk.0.attn_v.weight"] == types["blk.1.ffn_up.weight"] == kind
    got = logits(load_gguf(tmp_path / "m.gguf", torch.float32))
    assert np.abs(got - wanted).max() < 0.5 * np.abs(wanted - plain).max()
    model = load_model(tmp_path / "m.gguf", threads=1)
    assert np.abs(model.logits(IDS) - got).max() < 0.02 * np.abs(got).max()
    model.close()


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_a_full_fine_tune_becomes_a_file_like_its_base(tmp_path, family):
    base = make(tmp_path / "base.gguf", FAMILIES[family]).path
    model = load_gguf(base, torch.float32)
    with torch.no_grad():
        for p in model.parameters():
            p *= 1.05
    wanted = logits(model)
    model.save_pretrained(tmp_path / "full")
    write_full(tmp_path / "full", target_of(find(str(base))), base, tmp_path / "m.gguf")
    got = logits(load_gguf(tmp_path / "m.gguf", torch.float32))
    assert np.abs(got - wanted).max() < 1e-4 * max(1, np.abs(wanted).max())


def folder_base(path, dtype=torch.float32):
    torch.manual_seed(0)
    size = write_tokenizer(path)
    config = LlamaConfig(
        vocab_size=size, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
        num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=64,
    )  # fmt: skip
    LlamaForCausalLM(config).to(dtype).save_pretrained(path)
    return path


@pytest.mark.parametrize("name", ["lora", "vera", "dora", "delta-lora"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_merged_folder_is_loaded_by_transformers(tmp_path, name, dtype):
    base = folder_base(tmp_path / "base", dtype)
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    wanted = learned(model, name, tmp_path / "peft")
    write_merged_folder(
        read_changes(tmp_path / "peft"), base, tmp_path / "peft", tmp_path / "merged"
    )
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert merged.dtype == dtype
    off = np.abs(logits(merged.float()) - wanted).max()
    assert off < (1e-5 if dtype == torch.float32 else 0.05)
    assert (tmp_path / "merged/tokenizer.json").exists()
    assert not (tmp_path / "merged/adapter_config.json").exists()


def test_an_adapter_for_another_base_is_refused(tmp_path):
    base = tiny_llama(tmp_path / "base.gguf").path
    other = tiny_llama(tmp_path / "other.gguf", hidden=32, ffn=48).path
    learned(load_gguf(base, torch.float32), "lora", tmp_path / "peft")
    with pytest.raises(SternaError) as error:
        write_adapter(
            read_changes(tmp_path / "peft"), target_of(find(str(other))), tmp_path / "a.gguf", "m"
        )
    assert error.value.kind == "wrong_base"


def broken(folder, how):
    path = folder / "adapter_model.safetensors"
    if how == "cut":
        path.write_bytes(path.read_bytes()[:500])
    elif how == "half":
        tensors = load_file(path)
        del tensors[next(n for n in tensors if "lora_B" in n)]
        save_file(tensors, path)
    elif how == "nan":
        tensors = load_file(path)
        next(iter(tensors.values()))[0, 0] = float("nan")
        save_file(tensors, path)
    elif how == "config":
        (folder / "adapter_config.json").write_text("{")
    elif how == "kind":
        config = json.loads((folder / "adapter_config.json").read_text())
        (folder / "adapter_config.json").write_text(json.dumps(config | {"peft_type": "IA3"}))


BROKEN = {
    "cut": "corrupt",
    "half": "corrupt",
    "nan": "corrupt",
    "config": "corrupt",
    "kind": "unsupported_adapter",
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_adapter_is_refused(tmp_path, how):
    base = tiny_llama(tmp_path / "base.gguf").path
    learned(load_gguf(base, torch.float32), "lora", tmp_path / "peft")
    broken(tmp_path / "peft", how)
    with pytest.raises(SternaError) as error:
        read_changes(tmp_path / "peft")
    assert error.value.kind == BROKEN[how]
