"""Small vocabularies as GGUF files, made here."""

import json

import gguf
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

TEXT = [
    "The tern flies over the sea and comes home again.",
    "Numbers: 1 22 333 4444. Tabs\tand\nlines. It's what they'll say, isn't it?",
    "ünïcödé, Ελληνικά, русский, 日本語, emoji 🚀🦅",
]
CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]


def byte_level(path, *, size=400, pre="gpt-2", extra=()):
    """A byte-level BPE vocabulary trained on a few lines; `extra` are user-defined tokens."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    tokenizer.train_from_iterator(
        TEXT * 3,
        trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, show_progress=False),
    )
    merges = [
        m if isinstance(m, str) else " ".join(m)
        for m in json.loads(tokenizer.to_str())["model"]["merges"]
    ]
    tokens = (
        [tokenizer.id_to_token(i) for i in range(tokenizer.get_vocab_size())]
        + CONTROL
        + list(extra)
    )
    kinds = [1] * (len(tokens) - len(CONTROL) - len(extra)) + [3] * len(CONTROL) + [4] * len(extra)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    writer.add_bos_token_id(tokens.index("<|endoftext|>"))
    writer.add_eos_token_id(tokens.index("<|im_end|>"))
    _write(writer)
    return path


def sentencepiece(path, *, space_prefix=True, padding_id=4294967295):
    """A SentencePiece-like vocabulary with byte fallback."""
    pieces = ["\u2581", "t", "h", "e", "r", "n", "a", "s", "i", "o", "th", "the", "\u2581the", "er", "tern",
              "\u2581t", "\u2581tern", "\u2581a", "an", "\u2581an"]  # fmt: skip
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces]
    kinds = [2, 3, 3, *[6] * 256, *[1] * len(pieces)]
    scores = [0.0] * 259 + [-float(i) for i in range(len(pieces), 0, -1)]
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_scores(scores)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_unk_token_id(0)
    writer.add_pad_token_id(padding_id)
    writer.add_add_space_prefix(space_prefix)
    _write(writer)
    return path


def _write(writer):
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
