"""The summary of a file."""

import numpy as np
import pytest
from ggufs import Raw, tiny_bitnet, tiny_llama, write_gguf

from backend.gguf import describe, open_gguf


def card_of(path):
    with open_gguf(path) as file:
        return describe(file)


def test_a_model(tmp_path):
    extra = {
        "general.license": "apache-2.0",
        "general.organization": "Tern",
        "llama.attention.key_length": 24,
    }
    model = tiny_llama(tmp_path / "m.gguf", layers=3, tensor_type="Q8_0", metadata=extra)
    card = card_of(model.path)
    assert card.params == sum(w.size for w in model.weights.values())
    assert card.bytes == model.path.stat().st_size
    assert 8.5 < card.bits_per_weight < 9
    assert (card.arch, card.quant, card.kind, card.name) == ("llama", "Q8_0", "model", "tiny llama")
    assert (card.layers, card.embedding, card.feed_forward, card.context) == (3, 64, 128, 256)
    assert (card.heads, card.kv_heads, card.kv_heads_per_layer) == (4, 2, (2, 2, 2))
    assert card.head_width == 24
    assert card.vocab == model.vocab
    assert (card.bos, card.eos) == (265, 267)
    assert (card.license, card.author, card.tokenizer) == ("apache-2.0", "Tern", "gpt2")
    assert "im_start" in card.chat_template


@pytest.mark.parametrize("type", ["I2_S", "TQ1_0", "TQ2_0"])
def test_ternary_models_are_named_by_their_layers(tmp_path, type):
    # embeddings far heavier than all layers together
    model = tiny_bitnet(tmp_path / "m.gguf", tensor_type=type, layers=1, vocab_size=8000)
    assert card_of(model.path).quant == type


def test_embeddings_do_not_name_a_mix(tmp_path):
    q4_k, q6_k = Raw(12, (4, 256), bytes(4 * 144)), Raw(14, (4, 256), bytes(4 * 210))
    tensors = {"token_embd.weight": Raw(14, (64, 256), bytes(64 * 210)), "blk.0.a.weight": q4_k}
    metadata = {"general.file_type": 14}
    assert card_of(write_gguf(tmp_path / "s.gguf", metadata, tensors)).quant == "Q4_K_S"
    tensors["blk.0.b.weight"] = q6_k
    tensors["blk.1.a.weight"] = q4_k
    assert card_of(write_gguf(tmp_path / "m.gguf", {}, tensors)).quant == "Q4_K_M"


def test_constants_are_no_parameters(tmp_path):
    tensors = {
        "blk.0.a.weight": np.zeros((2, 32), np.float32),
        "rope_freqs.weight": np.zeros(32, np.float32),
    }
    assert card_of(write_gguf(tmp_path / "m.gguf", {}, tensors)).params == 64


def test_named_chat_templates(tmp_path):
    def template(**keys):
        metadata = {"tokenizer." + k.replace("__", "."): v for k, v in keys.items()}
        return card_of(write_gguf(tmp_path / "m.gguf", metadata)).chat_template

    assert template() is None
    assert template(chat_template="plain", chat_templates=["a"], chat_template__a="A") == "plain"
    assert template(chat_templates=["a", "b"], chat_template__b="B") == "B"
    named = {"chat_template__default": "D", "chat_template__rag": "R"}
    assert template(chat_templates=["rag", "default"], **named) == "D"


def test_a_split_model_counts_all_parts(tmp_path):
    for i in range(2):
        write_gguf(
            tmp_path / f"m-0000{i + 1}-of-00002.gguf",
            {"split.no": i, "split.count": 2, "split.tensors.count": 2},
            {f"blk.{i}.w.weight": np.zeros((2, 32), np.float32)},
        )
    card = card_of(tmp_path / "m-00001-of-00002.gguf")
    assert card.params == 128
    assert card.bytes == sum(p.stat().st_size for p in tmp_path.iterdir())


@pytest.mark.conformance
def test_a_real_model(conformance):
    card = card_of(conformance / "models" / "stories260K.gguf")
    assert (card.arch, card.quant, card.layers, card.heads, card.kv_heads) == (
        "llama",
        "F32",
        5,
        8,
        4,
    )
    assert (card.vocab, card.embedding) == (512, 64)
    assert card.head_width == 8
    assert 250_000 < card.params < 300_000
    vocabulary = card_of(conformance / "vocabs" / "ggml-vocab-gpt-2.gguf")
    assert vocabulary.kind == "vocab"
    assert vocabulary.vocab == 50257
