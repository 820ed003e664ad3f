"""Tiny Hugging Face folders with a tokenizer of their own, as people have them on disk."""

import json

from tiny_models import CHATML
from tiny_vocabularies import byte_level
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

TOKENS = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def write_tokenizer(folder, *, template=CHATML):
    """Write tokenizer.json and tokenizer_config.json: byte-level BPE with ChatML's tokens."""
    folder.mkdir(parents=True, exist_ok=True)
    words = byte_level()
    vocab = {t: i for i, t in enumerate(words["tokenizer.ggml.tokens"])}
    pairs = [tuple(m.split(" ")) for m in words["tokenizer.ggml.merges"]]
    pairs = [(a, b) for a, b in pairs if a in vocab and b in vocab and a + b in vocab]
    tokenizer = Tokenizer(models.BPE(vocab=vocab, merges=pairs))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(t, special=True) for t in TOKENS])
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "bos_token": "<|endoftext|>",
        "eos_token": "<|im_end|>",
        "pad_token": "<|endoftext|>",
    }
    if template:
        settings["chat_template"] = template
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    return len(vocab)
