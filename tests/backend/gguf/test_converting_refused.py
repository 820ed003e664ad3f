"""Checkpoints that cannot be converted: a sentence, and no file."""

import json
import struct

import numpy as np
import pytest
from checkpoints import checkpoint
from converted import edit, refused

from backend.errors import SternaError
from backend.gguf.converting import convert


@pytest.fixture
def source(tmp_path):
    return checkpoint(tmp_path / "model").folder


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
    assert after(config, rope_parameters={"rope_type": "spiral"}) == "unsupported_arch"
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


@pytest.mark.parametrize(
    ("name", "rows", "told"),
    [
        ("model.layers.1.mlp.down_proj.weight", None, "layer 1 lacks ffn_down"),
        ("model.layers.1.mlp.down_proj.weight", 32, "of layer 1 is"),
        ("model.norm.weight", None, "last norm"),
        ("model.embed_tokens.weight", None, "no table of token embeddings"),
        ("lm_head.weight", 100, "output matrix"),
    ],
)
def test_tensors_that_are_missing_or_misshapen_are_told(source, tmp_path, name, rows, told):
    from safetensors.numpy import load_file, save_file

    weights = load_file(source / "model.safetensors")
    value = weights.pop(name)
    if rows:
        weights[name] = value[:rows].copy()
    save_file(weights, source / "model.safetensors")
    assert told in refused(source, tmp_path).message


def test_layers_that_the_config_has_and_the_weights_have_not_are_told(source, tmp_path):
    edit(source / "config.json", num_hidden_layers=3)
    assert "layer 2 lacks" in refused(source, tmp_path).message


def test_a_stretching_that_gguf_has_no_word_for_is_told(source, tmp_path):
    edit(
        source / "config.json",
        rope_parameters={"rope_type": "yarn", "factor": 4.0, "truncate": False},
    )
    assert refused(source, tmp_path).kind == "unsupported_arch"


def test_a_stopped_job_leaves_nothing(source, tmp_path):
    def stop(_):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        convert(source, tmp_path / "out.gguf", report=stop)
    assert [path.name for path in tmp_path.iterdir()] == ["model"]
