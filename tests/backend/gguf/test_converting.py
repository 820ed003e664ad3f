"""Checkpoints saved by transformers, converted, and run by our engine beside transformers."""

import json
import struct

import gguf
import numpy as np
import pytest
from checkpoints import (
    CUTS,
    TEMPLATE,
    TEXTS,
    byte_level,
    checkpoint,
    real_sentencepiece,
    sentencepiece_like,
)
from tiny_families import FAMILIES, Family

from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.gguf.converting import convert
from backend.inference import load_model

IDS = [int(i) for i in np.random.default_rng(0).integers(2, 299, 90)]
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


def tensors_of(path):
    """All tensors of a file as float32, by the package."""
    return {
        t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape((*t.data.shape[:-1], -1))
        for t in gguf.GGUFReader(path).tensors
    }


def same_logits(made, reference, tolerance=1e-3):
    model = load_model(made.path, context=128)
    try:
        ours = model.logits(IDS)
    finally:
        model.close()
    return np.abs(ours - reference).max() <= tolerance * np.abs(reference).max()


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


def test_two_models_in_one_take_the_language_model(tmp_path):
    """Gemma 3 with its eyes left out."""
    source = checkpoint(tmp_path / "model", "gemma3")
    config = json.loads((source.folder / "config.json").read_text())
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


# --- BitNet --------------------------------------------------------------------------------------

BITNET = Family("bitnet", "BitNet", {"hidden_size": 256, "intermediate_size": 512, "hidden_act": "relu2",
                                     "num_attention_heads": 4, "num_key_value_heads": 2})  # fmt: skip
ONLINE = {"quant_method": "bitnet", "linear_class": "autobitlinear", "quantization_mode": "online"}
OFFLINE = ONLINE | {"quantization_mode": "offline"}
DIVIDES = {"quant_method": "bitnet", "linear_class": "bitlinear"}
LINEAR = ("_proj.weight",)


def set_quantisation(folder, said):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    config["quantization_config"] = said
    path.write_text(json.dumps(config))


def rounded(weights):
    mean = np.abs(weights).mean(dtype=np.float64)
    return np.clip(np.rint(weights / np.float32(mean)), -1, 1), mean


def rewrite(folder, change):
    """Replace every linear weight by what `change` makes of it: new tensors by name ending."""
    from safetensors.numpy import load_file, save_file

    path = folder / "model.safetensors"
    weights = load_file(path)
    meant = {}
    for name in list(weights):
        if name.endswith(LINEAR):
            codes, mean = rounded(weights[name])
            meant[name] = codes * np.float32(mean)
            stem = name.removesuffix(".weight")
            made = change(weights.pop(name), codes, mean)
            weights |= {stem + ending: value for ending, value in made.items()}
    save_file(weights, path)
    return meant


def pack(codes):
    quarter = len(codes) // 4
    planes = (codes + 1).astype(np.uint8).reshape(4, quarter, -1)
    return planes[0] | planes[1] << 2 | planes[2] << 4 | planes[3] << 6


def scale(value):
    return np.array([value], np.float32)


@pytest.mark.parametrize("model", ["bitnet", "llama"])
@pytest.mark.parametrize(
    ("said", "change"),
    [
        (OFFLINE, lambda w, c, m: {".weight": pack(c), ".weight_scale": scale(m)}),
        (DIVIDES, lambda w, c, m: {".weight": pack(c), ".weight_scale": scale(1 / m)}),
        (OFFLINE, lambda w, c, m: {".weight": c, ".weight_scale": scale(m)}),
        (DIVIDES, lambda w, c, m: {".weight": w, ".weight_scale": scale(1 / m)}),
        (ONLINE, lambda w, c, m: {".weight": w}),
        (ONLINE, lambda w, c, m: {".weight": c * np.float32(m)}),  # rounded already: not again
    ],
    ids=[
        "packed, multiplied",
        "packed, divided",
        "codes",
        "masters with a scale",
        "masters",
        "rounded",
    ],
)
def test_ternary_weights_are_what_was_trained(tmp_path, model, said, change):
    family = (
        BITNET
        if model == "bitnet"
        else Family("llama", "Llama", BITNET.config | {"hidden_act": "silu"})
    )
    source = checkpoint(tmp_path / "model", family)
    meant = rewrite(source.folder, change)
    set_quantisation(source.folder, said)
    made = convert(source.folder, tmp_path / "out.gguf")
    tensors = tensors_of(made.path)
    with open_gguf(made.path) as file:
        assert describe(file).quant == "TQ2_0"
        assert file.tensors["blk.0.ffn_down.weight"].type_name == "TQ2_0"
        assert file.tensors["token_embd.weight"].type_name == "F32"
    names = {"self_attn.v_proj": "attn_v", "self_attn.o_proj": "attn_output", "mlp.down_proj": "ffn_down",
             "mlp.gate_proj": "ffn_gate"}  # fmt: skip
    if model == "bitnet":
        names["self_attn.q_proj"] = "attn_q"
    for theirs, ours in names.items():
        wanted = meant[f"model.layers.1.{theirs}.weight"]
        found = tensors[f"blk.1.{ours}.weight"]
        assert (np.sign(found) == np.sign(wanted)).all()
        assert np.allclose(found, wanted, rtol=2**-10)  # the scale in float16
    load_model(made.path, context=64).close()


def test_masters_run_as_transformers_runs_them(tmp_path, monkeypatch):
    import torch
    from transformers.integrations.bitnet import AutoBitLinear

    source = checkpoint(tmp_path / "model", BITNET)
    set_quantisation(source.folder, ONLINE)
    monkeypatch.setattr(torch._dynamo.config, "disable", True)
    for layer in source.model.model.layers:
        for part in (layer.self_attn, layer.mlp):
            for name, linear in list(part.named_children()):
                if isinstance(linear, torch.nn.Linear):
                    online = AutoBitLinear(
                        linear.in_features, linear.out_features, bias=False, online_quant=True
                    )
                    online.weight = linear.weight
                    setattr(part, name, online)
    made = convert(source.folder, tmp_path / "out.gguf")
    reference = source.logits(IDS)
    model = load_model(made.path, context=128)
    off = np.abs(model.logits(IDS) - reference)
    model.close()
    assert off.mean() < 4e-3 * np.abs(reference).max()  # activations at a tie may round otherwise


# --- tokenizers ----------------------------------------------------------------------------------


def ids_of(made, texts):
    model = load_model(made.path, context=64)
    tokenizer = model.tokenizer
    model.close()
    return [tokenizer.encode(text) for text in texts], tokenizer


@pytest.mark.parametrize("pre", CUTS)
def test_byte_level_tokenizers_cut_as_before(tmp_path, pre):
    source = checkpoint(tmp_path / "model", tokenizer=byte_level(pre, bos=pre == "llama-bpe"))
    made = convert(source.folder, tmp_path / "out.gguf")
    reference = byte_level(pre)
    found, tokenizer = ids_of(made, TEXTS)
    assert found == [reference.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert tokenizer.add_bos == (pre == "llama-bpe")
    with open_gguf(made.path) as file:
        assert file.string("tokenizer.ggml.pre") == pre
        assert file.string("tokenizer.chat_template") == TEMPLATE
        assert file.token_id("bos") == 0
        assert file.token_id("eos") == 1
        assert file.count("tokenizer.ggml.tokens") == 301
        assert file.integers("tokenizer.ggml.token_type")[:2] == [3, 3]
        assert file.integers("tokenizer.ggml.token_type")[-1] == 5  # rows without a token


@pytest.mark.parametrize("prefix", [True, False])
def test_sentencepiece_from_its_merges(tmp_path, prefix):
    reference = sentencepiece_like(prefix=prefix)
    source = checkpoint(
        tmp_path / "model", tokenizer=reference, vocab_size=reference.get_vocab_size()
    )
    made = convert(source.folder, tmp_path / "out.gguf")
    found, tokenizer = ids_of(made, TEXTS)
    assert found == [reference.encode(text, add_special_tokens=False).ids for text in TEXTS]
    assert tokenizer.space_prefix == prefix
    with open_gguf(made.path) as file:
        assert file.string("tokenizer.ggml.model") == "llama"
        assert file.integers("tokenizer.ggml.token_type")[:4] == [2, 3, 3, 6]


def test_sentencepiece_from_its_own_file(tmp_path):
    folder = tmp_path / "model"
    folder.mkdir()
    reference = real_sentencepiece(folder)
    source = checkpoint(folder, vocab_size=reference.vocab_size() + 2)
    (folder / "tokenizer.json").unlink()
    settings = {"added_tokens_decoder": {str(reference.vocab_size()): {"content": "<|end|>", "special": True}},
                "bos_token": "<s>", "eos_token": {"content": "<|end|>"}, "add_bos_token": True}  # fmt: skip
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    made = convert(source.folder, tmp_path / "out.gguf")
    found, tokenizer = ids_of(made, [*TEXTS, "use <tool> now"])
    assert found == [reference.encode(text) for text in [*TEXTS, "use <tool> now"]]
    assert tokenizer.add_bos
    assert tokenizer.bos_id == reference.bos_id()
    assert tokenizer.eos_id == reference.vocab_size()
    assert tokenizer.encode("a<|end|>", special=True)[-1] == reference.vocab_size()


def test_several_templates_and_ends_of_an_answer(tmp_path):
    source = checkpoint(tmp_path / "model")
    (source.folder / "chat_template.jinja").unlink(missing_ok=True)
    settings = json.loads((source.folder / "tokenizer_config.json").read_text())
    settings["chat_template"] = [
        {"name": "default", "template": "plain"},
        {"name": "tool_use", "template": "tools"},
    ]
    (source.folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (source.folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [1, 5]}))
    (source.folder / "README.md").write_text("---\nlicense: apache-2.0\ntags: [x]\n---\nA model.\n")
    made = convert(source.folder, tmp_path / "out.gguf")
    with open_gguf(made.path) as file:
        assert file.string("tokenizer.chat_template") == "plain"
        assert file.strings("tokenizer.chat_templates") == ["tool_use"]
        assert file.string("tokenizer.chat_template.tool_use") == "tools"
        assert file.token_id("eot") == 5
        assert file.string("general.license") == "apache-2.0"
        assert file.string("general.name") == "model"


# --- what is refused -----------------------------------------------------------------------------


@pytest.fixture
def source(tmp_path):
    return checkpoint(tmp_path / "model").folder


def refused(folder, tmp_path):
    with pytest.raises(SternaError) as told:
        convert(folder, tmp_path / "out.gguf")
    assert not [path for path in tmp_path.iterdir() if path.name != "model"]
    return told.value


def edit(path, **changes):
    said = json.loads(path.read_text())
    said.update(changes)
    path.write_text(json.dumps(said))


def test_what_cannot_be_converted_is_told(source, tmp_path):
    config, tokenizer = source / "config.json", source / "tokenizer.json"
    whole = {path: path.read_bytes() for path in (config, tokenizer)}

    def after(path, **changes):
        for each, data in whole.items():
            each.write_bytes(data)
        edit(path, **changes)
        return refused(source, tmp_path).kind

    assert after(config, architectures=["T5ForConditionalGeneration"]) == "unsupported_arch"
    assert after(config, architectures=None) == "unsupported_arch"
    assert after(config, num_hidden_layers=10**9) == "bad_checkpoint"
    assert after(config, num_attention_heads="many") == "bad_checkpoint"
    assert after(config, num_attention_heads=0) == "bad_checkpoint"
    assert after(config, rope_parameters={"rope_type": "dynamic"}) == "unsupported_arch"
    assert after(config, quantization_config={"quant_method": "gptq"}) == "already_quantised"
    assert after(tokenizer, pre_tokenizer={"type": "Whitespace"}) == "unsupported_tokenizer"
    assert after(tokenizer, normalizer={"type": "Lowercase"}) == "unsupported_tokenizer"
    assert (
        after(tokenizer, model={"type": "WordPiece", "vocab": {"a": 0}}) == "unsupported_tokenizer"
    )
    assert after(tokenizer, model={"type": "BPE", "vocab": {"a": "x"}}) == "bad_checkpoint"
    for each, data in whole.items():
        each.write_bytes(data)
    convert(source, tmp_path / "out.gguf")


def test_damaged_files_are_told(source, tmp_path):
    weights = source / "model.safetensors"
    whole = weights.read_bytes()
    size = struct.unpack("<Q", whole[:8])[0]
    head = json.loads(whole[8 : 8 + size])
    name = next(n for n in head if n != "__metadata__")

    def with_entry(**changes):
        changed = json.dumps(head | {name: head[name] | changes}).encode()
        return struct.pack("<Q", len(changed)) + changed + whole[8 + size :]

    cases = [
        whole[:100],
        whole[:-40],
        b"",
        struct.pack("<Q", 2**63) + whole[8:],
        struct.pack("<Q", 12) + b"not json at all",
        with_entry(shape=[1]),
        with_entry(shape=[-1, -5]),
        with_entry(dtype="F8_E4M3"),
        with_entry(data_offsets=[0, 10**15]),
        with_entry(data_offsets=None),
    ]
    for data in cases:
        weights.write_bytes(data)
        assert refused(source, tmp_path).kind == "bad_checkpoint"
    weights.unlink()
    assert refused(source, tmp_path).kind == "bad_checkpoint"
    (source / "pytorch_model.bin").write_bytes(b"\x80\x04pickle")
    assert "pickle" in refused(source, tmp_path).message


def test_missing_parts_are_told(source, tmp_path):
    index = source / "model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"a": "model-00001-of-00002.safetensors"}}))
    assert "missing" in refused(source, tmp_path).message
    index.write_text(json.dumps({"weight_map": {"a": "../../etc/passwd"}}))
    assert refused(source, tmp_path).kind == "bad_checkpoint"
    index.unlink()
    for name in ("tokenizer.json", "config.json"):
        (source / name).unlink()
        assert refused(source, tmp_path).kind in ("bad_checkpoint", "unsupported_tokenizer")
    with pytest.raises(SternaError) as told:
        convert(tmp_path / "none", tmp_path / "x.gguf")
    assert told.value.kind == "not_found"


def test_a_tensor_that_nobody_knows_is_told(source, tmp_path):
    from safetensors.numpy import load_file, save_file

    weights = load_file(source / "model.safetensors")
    save_file(
        weights | {"model.layers.0.mystery.weight": np.zeros((4, 4), np.float32)},
        source / "model.safetensors",
    )
    assert "mystery" in refused(source, tmp_path).message


def test_a_stopped_job_leaves_nothing(source, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out.gguf", report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_a_fourth_ternary_value_is_told(tmp_path):
    source = checkpoint(tmp_path / "model", BITNET).folder
    rewrite(source, lambda w, c, m: {".weight": pack(c) | 3, ".weight_scale": scale(m)})
    set_quantisation(source, OFFLINE)
    assert "fourth" in refused(source, tmp_path).message
