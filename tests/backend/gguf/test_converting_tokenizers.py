"""Tokenizers and templates of checkpoints: the same ids after converting."""

import json

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

from backend.gguf import open_gguf
from backend.gguf.converting import convert
from backend.inference import load_model


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
