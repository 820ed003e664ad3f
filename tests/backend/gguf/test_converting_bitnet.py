"""BitNet checkpoints, packed or as masters, and both meanings of their scale."""

import json

import numpy as np
import pytest
from checkpoints import checkpoint
from converted import IDS, refused, tensors_of
from tiny_families import Family

from backend.gguf import describe, open_gguf
from backend.gguf.converting import convert
from backend.inference import load_model

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


def test_a_fourth_ternary_value_is_told(tmp_path):
    source = checkpoint(tmp_path / "model", BITNET).folder
    rewrite(source, lambda w, c, m: {".weight": pack(c) | 3, ".weight_scale": scale(m)})
    set_quantisation(source, OFFLINE)
    assert "fourth" in refused(source, tmp_path).message
