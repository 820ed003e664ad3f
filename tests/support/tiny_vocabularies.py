"""Vocabularies of a few hundred tokens as metadata of a GGUF file, with no training."""

NORMAL, UNKNOWN, CONTROL, UNUSED, BYTE = 1, 2, 3, 5, 6
_CONTROL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
_MERGES = ["t h", "th e", "i n", "\u0120 t", "\u0120t he", "e r", "a n", "in g", "\u0120 a"]


def byte_alphabet():
    """The 256 characters that stand for bytes in byte-level BPE, in the order of the bytes."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = iter(range(256, 512))
    return [chr(b) if b in plain else chr(next(others)) for b in range(256)]


def byte_level(size=None):
    """Byte-level BPE: 256 bytes, a few merges, ChatML's control tokens; filled up to `size`."""
    tokens = byte_alphabet() + [m.replace(" ", "") for m in _MERGES]
    kinds = [NORMAL] * len(tokens) + [CONTROL] * len(_CONTROL)
    tokens += _CONTROL
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "gpt-2",
        **_filled(tokens, kinds, size),
        "tokenizer.ggml.merges": _MERGES,
        "tokenizer.ggml.bos_token_id": tokens.index("<|endoftext|>"),
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
    }


def never_ending(words):
    """What to override of `words` so that no token ends a turn: an answer stops only when told."""
    names = {"<|endoftext|>": "<|first|>", "<|im_end|>": "<|second|>"}
    return {
        "tokenizer.ggml.tokens": [names.get(t, t) for t in words["tokenizer.ggml.tokens"]],
        "tokenizer.ggml.eos_token_id": None,
    }


def sentencepiece(size=None):
    """SentencePiece BPE with byte fallback; padding has the id that means none; filled to `size`."""
    letters = [chr(c) for c in range(ord("a"), ord("z") + 1)]
    pieces = ["\u2581", *letters, "th", "the", "\u2581the", "er", "in", "\u2581a", "an"]
    tokens = ["<unk>", "<s>", "</s>", *(f"<0x{b:02X}>" for b in range(256)), *pieces, *_CONTROL[1:]]
    kinds = [UNKNOWN, CONTROL, CONTROL, *[BYTE] * 256, *[NORMAL] * len(pieces), CONTROL, CONTROL]
    filled = _filled(tokens, kinds, size)
    count = len(filled["tokenizer.ggml.tokens"])
    scores = [0.0] * 259 + [-float(i) for i in range(count - 259)]
    return {
        "tokenizer.ggml.model": "llama",
        **filled,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": tokens.index("<|im_end|>"),
        "tokenizer.ggml.unknown_token_id": 0,
        "tokenizer.ggml.padding_token_id": 4294967295,
    }


def _filled(tokens, kinds, size):
    rest = max(0, (size or 0) - len(tokens))
    return {
        "tokenizer.ggml.tokens": tokens + [f"<unused_{i}>" for i in range(rest)],
        "tokenizer.ggml.token_type": kinds + [UNUSED] * rest,
    }
