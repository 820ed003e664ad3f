"""Checkpoints saved by transformers, converted, and run by our engine beside transformers."""

import json

import numpy as np
import pytest
from checkpoints import checkpoint
from converted import IDS, edit, same_logits, tensors_of
from tiny_families import FAMILIES, Family

from backend.gguf import describe, open_gguf
from backend.gguf.converting import convert

LLAMA3 = Family("llama", "Llama", {"rope_parameters": {
    "rope_type": "llama3", "rope_theta": 5000.0, "factor": 8.0, "low_freq_factor": 1.0,
    "high_freq_factor": 4.0, "original_max_position_embeddings": 64}}, interleaved=True)  # fmt: skip
EXPERTS = {
    "mixtral": Family("llama", "Mixtral", {"num_local_experts": 4, "num_experts_per_tok": 2}),
    "qwen2moe": Family("qwen2moe", "Qwen2Moe", {
        "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 32,
        "shared_expert_intermediate_size": 64, "norm_topk_prob": False}),
    "qwen3moe": Family("qwen3moe", "Qwen3Moe", {
        "num_experts": 6, "num_experts_per_tok": 3, "moe_intermediate_size": 32, "head_dim": 32,
        "norm_topk_prob": True}),
}  # fmt: skip


# --- weights and numbers -------------------------------------------------------------------------


@pytest.mark.parametrize("name", [*FAMILIES, "llama 3"])
def test_every_family_says_what_transformers_says(tmp_path, name):
    source = checkpoint(tmp_path / "model", LLAMA3 if name == "llama 3" else name)
    made = convert(source.folder, tmp_path / "out.gguf")
    with open_gguf(made.path) as file:
        assert describe(file).arch == (FAMILIES.get(name) or LLAMA3).arch
        assert describe(file).quant == "F32"
    assert same_logits(made, source.logits(IDS))


@pytest.mark.parametrize("name", EXPERTS)
def test_experts_are_stacked(tmp_path, name):
    source = checkpoint(tmp_path / "model", EXPERTS[name])
    made = convert(source.folder, tmp_path / "out.gguf")
    tensors = tensors_of(made.path)
    state = source.model.state_dict()
    key = next(k for k in state if "layers.1" in k and k.endswith("experts.gate_up_proj"))
    fused, down = state[key].numpy(), state[key.replace("gate_up", "down")].numpy()
    half = fused.shape[1] // 2
    assert (tensors["blk.1.ffn_gate_exps.weight"] == fused[:, :half]).all()
    assert (tensors["blk.1.ffn_up_exps.weight"] == fused[:, half:]).all()
    assert (tensors["blk.1.ffn_down_exps.weight"] == down).all()
    with open_gguf(made.path) as file:
        arch = file.architecture
        assert file.integer(f"{arch}.expert_count") == len(fused)
        assert file.integer(f"{arch}.expert_used_count") == source.model.config.num_experts_per_tok


def test_a_checkpoint_in_shards_keeps_its_precision(tmp_path):
    source = checkpoint(tmp_path / "model", "qwen3", dtype="bfloat16", shard="100KB")
    assert len(list(source.folder.glob("*.safetensors"))) > 2
    told = []
    made = convert(source.folder, tmp_path / "out.gguf", report=told.append)
    assert told[-1].done == told[-1].total > 0
    tensors = tensors_of(made.path)
    for name, value in (
        ("blk.1.attn_q.weight", "layers.1.self_attn.q_proj"),
        ("token_embd.weight", "embed_tokens"),
    ):
        exact = source.model.state_dict()[f"model.{value}.weight"].float().numpy()
        assert (tensors[name] == exact).all()
    with open_gguf(made.path) as file:
        assert describe(file).quant == "BF16"
        assert file.tensors["output_norm.weight"].type_name == "F32"


def test_a_quant_at_once_is_the_quant_of_the_file(tmp_path):
    from backend.gguf.quantising import quantise

    source = checkpoint(tmp_path / "model", "llama", hidden_size=256, intermediate_size=512)
    at_once = convert(source.folder, tmp_path / "a.gguf", quant="q4_k_m")
    convert(source.folder, tmp_path / "b.gguf")
    after = quantise(tmp_path / "b.gguf", "Q4_K_M", tmp_path / "c.gguf")
    assert at_once.path.read_bytes() == after.path.read_bytes()


def _as_before(config):
    """What is said of RoPE and windows, as configs had it before `rope_parameters` and `layer_types`."""
    return {"drop": ["rope_parameters", "layer_types"], "rope_theta": 10000.0} | config


def _yarn(**more):
    return {"rope_parameters": {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
                                "original_max_position_embeddings": 128} | more}  # fmt: skip


# A family, its config, and how the config is changed once it is saved.
ODD = {
    "older llama 3": ("llama", {}, _as_before({"rope_scaling": LLAMA3.config["rope_parameters"]})),
    "older linear": ("llama", {}, _as_before({"rope_scaling": {"type": "linear", "factor": 4.0}})),
    "dynamic": ("llama", {}, _as_before({"rope_scaling": {"type": "dynamic", "factor": 4.0}})),
    "yarn with its factor": ("qwen2", _yarn(attention_factor=1.7), {}),
    "yarn with two scales": ("llama", _yarn(mscale=1.0, mscale_all_dim=0.5), {}),
    "yarn with its bounds": ("qwen3", _yarn(beta_fast=16.0, beta_slow=2.0), {}),
    "part of a head that is not meant": (
        "llama", {}, {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0,
                                          "partial_rotary_factor": 0.5}},
    ),
    "a window that is not used": (
        "qwen2", {}, {"drop": ["layer_types", "use_sliding_window"], "sliding_window": 16},
    ),
    "older windows": (
        "qwen2", {"num_hidden_layers": 4},
        {"drop": ["layer_types"], "sliding_window": 16, "use_sliding_window": True,
         "max_window_layers": 2},
    ),
    "older windows of a mixture": (
        "qwen2moe", {"num_hidden_layers": 4},
        {"drop": ["layer_types"], "sliding_window": 16, "use_sliding_window": True,
         "max_window_layers": 2},
    ),
    "experts in every other layer": (
        "qwen3moe", {"num_hidden_layers": 4, "decoder_sparse_step": 2}, {},
    ),
    "experts but in one layer": ("qwen2moe", {"num_hidden_layers": 3, "mlp_only_layers": [0]}, {}),
    "experts' weights as they are": (
        "qwen3moe", {"norm_topk_prob": False}, {"drop": ["norm_topk_prob"]},
    ),
    "older gemma": ("gemma", {}, {"drop": ["hidden_activation", "tie_word_embeddings"],
                                  "hidden_act": "gelu"}),
    "older gemma 3": (
        "gemma3", {}, {"drop": ["rope_parameters", "layer_types"], "rope_theta": 1e6,
                       "rope_local_base_freq": 1e4, "sliding_window_pattern": 3,
                       "rope_scaling": {"rope_type": "linear", "factor": 8.0}},
    ),
    "a cap that gemma 3 has no use for": ("gemma3", {"attn_logit_softcapping": 3.0}, {}),
    "an expert for all": (
        Family("granitemoe", "GraniteMoeShared",
               FAMILIES["granitemoe"].config | {"shared_intermediate_size": 80}, interleaved=True),
        {}, {},
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
def test_odd_and_older_configs_mean_what_they_mean_to_transformers(tmp_path, name):
    import torch
    from transformers import AutoModelForCausalLM

    family, config, changes = ODD[name]
    folder = checkpoint(tmp_path / "model", family, **config).folder
    edit(folder / "config.json", **changes)
    reference = AutoModelForCausalLM.from_pretrained(
        folder, attn_implementation="eager", dtype=torch.float32
    )
    with torch.no_grad():
        expected = reference(torch.tensor([IDS])).logits[0].numpy()
    assert same_logits(convert(folder, tmp_path / "out.gguf"), expected)


def test_a_mixture_of_precisions_stays_one(tmp_path):
    import torch
    from safetensors.torch import load_file, save_file

    source = checkpoint(tmp_path / "model")
    weights = load_file(source.folder / "model.safetensors")
    kept = {"q": torch.float32, "k": torch.float16, "v": torch.bfloat16}
    for name, value in weights.items():
        part = name.removesuffix("_proj.weight")[-1]
        weights[name] = value.to(kept.get(part, torch.bfloat16))
    save_file(weights, source.folder / "model.safetensors")
    made = convert(source.folder, tmp_path / "out.gguf")
    with open_gguf(made.path) as file:
        types = [file.tensors[f"blk.1.attn_{part}.weight"].type_name for part in kept]
        assert types == ["F32", "F16", "BF16"]
        assert file.tensors["token_embd.weight"].type_name == "BF16"
    tensors = tensors_of(made.path)
    for part in ("output", "v"):
        found = tensors[f"blk.0.attn_{part}.weight"]
        name = "o" if part == "output" else part
        assert (
            found == weights[f"model.layers.0.self_attn.{name}_proj.weight"].float().numpy()
        ).all()


def test_two_models_in_one_take_the_language_model(tmp_path):
    """Gemma 3 with its eyes left out."""
    source = checkpoint(tmp_path / "model", "gemma3", num_attention_heads=8, num_key_value_heads=4,
                        head_dim=256, query_pre_attn_scalar=256)  # fmt: skip
    config = json.loads((source.folder / "config.json").read_text())
    for usual in ("num_attention_heads", "num_key_value_heads", "head_dim", "query_pre_attn_scalar",
                  "tie_word_embeddings", "layer_types"):  # fmt: skip
        del config[usual]  # as published configs leave them out
    nested = {"architectures": ["Gemma3ForConditionalGeneration"], "text_config": config,
              "vision_config": {"hidden_size": 8}}  # fmt: skip
    (source.folder / "config.json").write_text(json.dumps(nested))
    from safetensors.numpy import load_file, save_file

    weights = load_file(source.folder / "model.safetensors")
    moved = {f"language_model.{name}": value for name, value in weights.items()}
    moved["vision_tower.patch.weight"] = np.zeros((4, 4), np.float32)
    moved["multi_modal_projector.weight"] = np.zeros((4, 4), np.float32)
    save_file(moved, source.folder / "model.safetensors")
    made = convert(source.folder, tmp_path / "out.gguf")
    assert same_logits(made, source.logits(IDS))
