"""Hugging Face folders as bases: float, ternary in both conventions, masters; and what is refused."""

import json

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BitNetConfig, BitNetForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.integrations.bitnet import AutoBitLinear, BitLinear, pack_weights

from backend.errors import SternaError
from backend.train.bases.folder import load_folder
from backend.train.bases.ternary import MasterLinear, TernaryLinear, absmean

SHAPE = {
    "vocab_size": 64, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 64,
    "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
}  # fmt: skip
IDS = torch.tensor([[5, 17, 3, 40, 9, 22, 31]])


@torch.no_grad()
def logits(model):
    with torch.compiler.set_stance("force_eager"):
        return model.eval()(IDS).logits[0]


def masters(kind):
    torch.manual_seed(0)
    config, model = (
        (BitNetConfig, BitNetForCausalLM) if kind == "bitnet" else (LlamaConfig, LlamaForCausalLM)
    )
    return model(config(**SHAPE, tie_word_embeddings=False))


def linears(model):
    return {n: m for n, m in model.named_modules() if type(m) is torch.nn.Linear and n != "lm_head"}


def write(folder, model, quantisation, tensors):
    folder.mkdir()
    config = json.loads(model.config.to_json_string())
    config["quantization_config"] = {"quant_method": "bitnet", **quantisation}
    (folder / "config.json").write_text(json.dumps(config))
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder / "model.safetensors")
    return folder


def packed(folder, kind, linear_class):
    """Write a packed ternary folder; return it and the model of transformers that means the same."""
    model = masters(kind)
    tensors = {k: v.clone() for k, v in model.state_dict().items()}
    for name, layer in linears(model).items():
        codes, gamma = absmean(layer.weight.detach())
        bytes_ = pack_weights(codes.clone())
        scale = (1 / gamma if linear_class == "bitlinear" else gamma).reshape(1)
        tensors[f"{name}.weight"], tensors[f"{name}.weight_scale"] = bytes_, scale
        if linear_class == "bitlinear":
            other = BitLinear(layer.in_features, layer.out_features, False, dtype=torch.float32)
            other.weight.copy_(bytes_)
        else:
            other = AutoBitLinear(layer.in_features, layer.out_features, False)
            other.weight.data = codes
        other.weight_scale.copy_(scale)
        model.set_submodule(name, other)
    said = {"linear_class": linear_class, "quantization_mode": "offline"}
    return write(folder, model, said, tensors), model


@pytest.mark.parametrize("kind", ["bitnet", "llama"])
@pytest.mark.parametrize("linear_class", ["bitlinear", "autobitlinear"])
def test_both_conventions_of_the_scale_mean_what_transformers_computes(
    tmp_path, kind, linear_class
):
    folder, theirs = packed(tmp_path / "m", kind, linear_class)
    ours = load_folder(folder, torch.float32)
    assert sum(isinstance(m, TernaryLinear) for m in ours.modules()) == 14
    assert torch.allclose(logits(ours), logits(theirs), rtol=1e-4, atol=1e-5)


def test_without_a_linear_class_the_scale_divides(tmp_path):
    folder, theirs = packed(tmp_path / "m", "llama", "bitlinear")
    config = json.loads((folder / "config.json").read_text())
    del config["quantization_config"]["linear_class"]
    (folder / "config.json").write_text(json.dumps(config))
    assert torch.allclose(
        logits(load_folder(folder, torch.float32)), logits(theirs), rtol=1e-4, atol=1e-5
    )


def online(folder):
    model = masters("bitnet")
    said = {"linear_class": "autobitlinear", "quantization_mode": "online"}
    return write(folder, model, said, dict(model.state_dict())), model


def test_masters_become_codes_for_an_adapter_and_learn_for_a_full_fine_tune(tmp_path):
    folder, model = online(tmp_path / "m")
    frozen = load_folder(folder, torch.float32)
    learning = load_folder(folder, torch.float32, masters=True)
    assert sum(isinstance(m, TernaryLinear) for m in frozen.modules()) == 14
    assert sum(isinstance(m, MasterLinear) for m in learning.modules()) == 14
    assert torch.allclose(logits(frozen), logits(learning), rtol=1e-4, atol=1e-5)
    q = learning.model.layers[0].self_attn.q_proj
    assert torch.equal(q.weight, model.model.layers[0].self_attn.q_proj.weight)


def test_ternary_weights_alone_have_no_masters(tmp_path):
    folder, _ = packed(tmp_path / "m", "bitnet", "autobitlinear")
    with pytest.raises(SternaError, match="rounded away") as error:
        load_folder(folder, torch.float32, masters=True)
    assert error.value.kind == "untrainable"


def plain(folder):
    model = masters("llama")
    model.save_pretrained(folder)
    return folder, model


def test_a_float_folder_is_loaded_as_it_is(tmp_path):
    folder, model = plain(tmp_path / "m")
    assert torch.equal(logits(load_folder(folder, torch.float32)), logits(model))


def edit(folder, **changes):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def pickled(folder):
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    torch.save(tensors, folder / "pytorch_model.bin")


def cut(folder):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:2000])


REFUSED = {
    "code of its own": (
        lambda f: edit(f, auto_map={"AutoModel": "evil.py"}),
        "untrainable",
        "code",
    ),
    "a pickle": (pickled, "unsafe_weights", "pickle"),
    "no weights": (lambda f: (f / "model.safetensors").unlink(), "not_a_model", "no weights"),
    "weights cut short": (cut, "corrupt", "cannot be read"),
    "gptq": (
        lambda f: edit(f, quantization_config={"quant_method": "gptq"}),
        "untrainable",
        "gptq",
    ),
    "an unknown architecture": (
        lambda f: edit(f, model_type="wizard"),
        "unsupported_arch",
        "wizard",
    ),
    "no config": (lambda f: (f / "config.json").unlink(), "not_a_model", "config.json"),
    "a broken config": (lambda f: (f / "config.json").write_text("{"), "corrupt", "no JSON"),
    "a config that is a list": (
        lambda f: (f / "config.json").write_text("[]"),
        "corrupt",
        "no object",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_trained_on_is_refused_with_the_reason(tmp_path, name):
    change, kind, words = REFUSED[name]
    folder, _ = plain(tmp_path / "m")
    change(folder)
    with pytest.raises(SternaError, match=words) as error:
        load_folder(folder, torch.float32)
    assert error.value.kind == kind


@pytest.mark.skipif(torch.cuda.is_available(), reason="a machine with CUDA can do it")
def test_four_bits_need_cuda(tmp_path):
    folder, _ = plain(tmp_path / "m")
    with pytest.raises(SternaError, match="CUDA") as error:
        load_folder(folder, torch.float32, load_in_4bit=True)
    assert error.value.kind == "no_cuda"


def test_a_packed_folder_that_lacks_a_scale_is_refused(tmp_path):
    folder, _ = packed(tmp_path / "m", "llama", "bitlinear")
    tensors = load_file(folder / "model.safetensors")
    del tensors["model.layers.0.self_attn.q_proj.weight_scale"]
    save_file(tensors, folder / "model.safetensors")
    with pytest.raises(SternaError, match="no scale"):
        load_folder(folder, torch.float32)
