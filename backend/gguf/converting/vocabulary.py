"""The tokenizer of a checkpoint as the keys of a GGUF header.

Byte-level BPE (`gpt2`) comes from tokenizer.json; SentencePiece BPE with byte fallback (`llama`) from
tokenizer.model, or from tokenizer.json, whose merges then give the scores.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from backend.errors import SternaError
from backend.gguf.converting.cutting import pre_tokenizer
from backend.gguf.converting.documents import Config, bad_checkpoint, read_optional
from backend.gguf.converting.sentencepiece import read_sentencepiece

Value = bool | int | str | list[str] | list[bytes] | list[int] | list[float]
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)  # token types of GGUF
_BYTE = re.compile(r"<0x[0-9A-F]{2}>")
_UNREACHED = -1e6  # score of a piece that no merge makes
# What else a header may name, by what tokenizer_config.json calls it.
_NAMED = {
    "bos": "bos",
    "eos": "eos",
    "unk": "unknown",
    "sep": "seperator",
    "pad": "padding",
    "mask": "mask",
}


@dataclass
class _Tokens:
    """Tokens by id, as they are collected."""

    texts: dict[int, bytes] = field(default_factory=dict)
    kinds: dict[int, int] = field(default_factory=dict)
    scores: dict[int, float] = field(default_factory=dict)
    ids: dict[str, int] = field(default_factory=dict)

    def put(self, id_: int, text: str | bytes, kind: int, score: float = 0.0) -> None:
        """Take in a token; a later word on the same id holds."""
        data = text.encode("utf-8", "surrogateescape") if isinstance(text, str) else text
        self.texts[id_], self.kinds[id_], self.scores[id_] = data, kind, score
        self.ids[data.decode("utf-8", "replace")] = id_


def tokenizer_keys(folder: Path, config: Config, rows: int) -> dict[str, Value]:
    """Return the keys `tokenizer.…` for a model with `rows` embeddings; raises SternaError."""
    said = read_optional(folder / "tokenizer.json")
    settings = Config(read_optional(folder / "tokenizer_config.json"))
    model = Config(said).part("model")
    pieces = folder / "tokenizer.model"
    tokens, keys = _Tokens(), dict[str, Value]()
    if model.string("type") == "BPE" and not _is_sentencepiece(model):
        keys = _byte_level(said, model, tokens)
    elif pieces.is_file():
        keys = _from_pieces(pieces, tokens)
    elif model.string("type") == "BPE":
        keys = _from_merges(said, model, tokens)
    else:
        what = model.string("type") or "no tokenizer.json or tokenizer.model"
        raise SternaError(
            "unsupported_tokenizer",
            f"Sterna does not convert this checkpoint's tokenizer ({what}).",
            "It knows byte-level BPE and SentencePiece BPE; llama.cpp's converter knows more.",
        )
    _take_added(said, settings, tokens)
    keys |= _listed(tokens, rows, with_scores=keys["tokenizer.ggml.model"] == "llama")
    keys |= _special(folder, config, settings, tokens, rows)
    keys |= _habits(folder, said, settings, keys)
    return keys


def _is_sentencepiece(model: Config) -> bool:
    return model.flag("byte_fallback") or "<0x00>" in model.part("vocab").values


def _vocab(model: Config) -> dict[str, int]:
    vocab = model.part("vocab").values
    if not vocab or not all(type(i) is int and 0 <= i < 1 << 24 for i in vocab.values()):
        raise bad_checkpoint("its tokenizer.json has no vocabulary")
    return dict(vocab)


def _merges(model: Config) -> list[tuple[str, str]]:
    """Return the merges, which older files write as one text each."""
    listed = model.values.get("merges")
    merges = []
    for merge in listed if isinstance(listed, list) else []:
        parts = merge.split(" ", 1) if isinstance(merge, str) else merge
        if (
            not isinstance(parts, list)
            or len(parts) != 2
            or not all(isinstance(p, str) for p in parts)
        ):
            raise bad_checkpoint("a merge of its tokenizer.json is no pair")
        merges.append((parts[0], parts[1]))
    return merges


def _byte_level(said: dict[str, Any], model: Config, tokens: _Tokens) -> dict[str, Value]:
    normalizer = Config(said).part("normalizer").string("type")
    if normalizer not in ("", "NFC"):
        raise SternaError(
            "unsupported_tokenizer",
            f"This checkpoint's tokenizer changes text first ({normalizer}), which GGUF cannot say.",
            "llama.cpp's convert_hf_to_gguf.py may know the model.",
        )
    for text, id_ in _vocab(model).items():
        tokens.put(id_, text, NORMAL)
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": pre_tokenizer(said.get("pre_tokenizer"), model.flag("ignore_merges")),
        "tokenizer.ggml.merges": [f"{left} {right}" for left, right in _merges(model)],
    }


def _from_pieces(path: Path, tokens: _Tokens) -> dict[str, Value]:
    found = read_sentencepiece(path)
    if not found.bpe:
        raise SternaError(
            "unsupported_tokenizer",
            "This checkpoint's SentencePiece model is a unigram model, which Sterna does not convert.",
            "llama.cpp's convert_hf_to_gguf.py may know the model.",
        )
    for id_, piece in enumerate(found.pieces):
        tokens.put(id_, piece.text, piece.kind, piece.score)
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.add_space_prefix": found.prefix,
    }


def _from_merges(said: dict[str, Any], model: Config, tokens: _Tokens) -> dict[str, Value]:
    unknown = model.string("unk_token")
    vocab = _vocab(model)
    reached: dict[str, int] = {}
    for rank, (left, right) in enumerate(_merges(model)):
        reached.setdefault(left + right, rank)
    for text, id_ in vocab.items():
        kind = BYTE if _BYTE.fullmatch(text) else UNKNOWN if text == unknown else NORMAL
        single = kind != NORMAL or len(text) == 1
        tokens.put(id_, text, kind, 0.0 if single else float(-reached.get(text, -_UNREACHED)))
    return {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.add_space_prefix": _puts_space_before(said),
    }


def _puts_space_before(said: dict[str, Any]) -> bool:
    """Whether the tokenizer puts a space before a text."""
    normalizer = Config(said).part("normalizer")
    parts = normalizer.values.get("normalizers") or [normalizer.values]
    prepends = any(isinstance(p, dict) and p.get("type") == "Prepend" for p in parts)
    spaces = Config(said).part("pre_tokenizer")
    scheme = spaces.string("prepend_scheme", "never")
    return prepends or (spaces.string("type") == "Metaspace" and scheme != "never")


def _take_added(said: dict[str, Any], settings: Config, tokens: _Tokens) -> None:
    """Take in the tokens that were added to the vocabulary, control tokens among them."""
    listed = said.get("added_tokens")
    added = {t["id"]: t for t in listed if isinstance(t, dict) and type(t.get("id")) is int} if isinstance(listed, list) else {}  # fmt: skip
    for key, entry in settings.part("added_tokens_decoder").values.items():
        if isinstance(entry, dict) and key.isdecimal():
            added.setdefault(int(key), entry)
    for id_, entry in added.items():
        text = entry.get("content")
        if not isinstance(text, str) or not 0 <= id_ < 1 << 24:
            raise bad_checkpoint("an added token of its tokenizer is none")
        if tokens.kinds.get(id_) in (UNKNOWN, BYTE):
            continue
        tokens.put(id_, text, CONTROL if entry.get("special") else USER_DEFINED)


def _listed(tokens: _Tokens, rows: int, *, with_scores: bool) -> dict[str, Value]:
    """Return the tokens in the order of their embeddings; rows without a token are filled up."""
    if not any(id_ < rows for id_ in tokens.texts):
        raise bad_checkpoint("its tokenizer has no tokens")
    texts = [tokens.texts.get(i, f"[PAD{i}]".encode()) for i in range(rows)]
    keys: dict[str, Value] = {
        "tokenizer.ggml.tokens": texts,
        "tokenizer.ggml.token_type": [tokens.kinds.get(i, UNUSED) for i in range(rows)],
    }
    if with_scores:
        keys["tokenizer.ggml.scores"] = [tokens.scores.get(i, _UNREACHED) for i in range(rows)]
    return keys


def _special(
    folder: Path, config: Config, settings: Config, tokens: _Tokens, rows: int
) -> dict[str, Value]:
    """Return the ids with a meaning: by the tokenizer's words, else by the numbers of the configs."""
    generation = Config(read_optional(folder / "generation_config.json"))
    found: dict[str, Value] = {}
    for key, name in _NAMED.items():
        word = settings.values.get(f"{key}_token")
        text = word.get("content") if isinstance(word, dict) else word
        id_ = tokens.ids.get(text) if isinstance(text, str) else None
        for numbers in (config, generation):
            if id_ is None:
                number = numbers.values.get(f"{key}_token_id")
                number = number[0] if isinstance(number, list) and number else number
                id_ = number if type(number) is int else None
        if id_ is not None and 0 <= id_ < rows:
            found[f"tokenizer.ggml.{name}_token_id"] = id_
    ends = generation.values.get("eos_token_id")
    eos = found.get("tokenizer.ggml.eos_token_id")
    others = (
        [i for i in ends if type(i) is int and 0 <= i < rows and i != eos]
        if isinstance(ends, list)
        else []
    )
    if others:  # a second token that ends an answer
        found["tokenizer.ggml.eot_token_id"] = others[-1]
    return found


def _habits(
    folder: Path, said: dict[str, Any], settings: Config, keys: dict[str, Value]
) -> dict[str, Value]:
    """Return whether texts begin with BOS and end with EOS: what the tokenizer really does."""
    bos, eos = (keys.get(f"tokenizer.ggml.{name}_token_id") for name in ("bos", "eos"))
    if not said:
        return {
            "tokenizer.ggml.add_bos_token": settings.flag("add_bos_token", True)
            and bos is not None,
            "tokenizer.ggml.add_eos_token": settings.flag("add_eos_token"),
        }
    try:
        ids = Tokenizer.from_file(str(folder / "tokenizer.json")).encode("a").ids
    except Exception as error:  # the package raises plain Exception for all that it cannot read
        raise bad_checkpoint(f"its tokenizer.json cannot be used ({str(error)[:100]})") from None
    return {
        "tokenizer.ggml.add_bos_token": bos is not None and ids[:1] == [bos],
        "tokenizer.ggml.add_eos_token": eos is not None and len(ids) > 1 and ids[-1] == eos,
    }


def template_keys(folder: Path) -> dict[str, Value]:
    """Return the chat templates: from files of their own, or from tokenizer_config.json."""
    found: dict[str, str] = {}
    listed = read_optional(folder / "tokenizer_config.json").get("chat_template")
    if isinstance(listed, str):
        found["default"] = listed
    for entry in listed if isinstance(listed, list) else []:
        if isinstance(entry, dict) and isinstance(entry.get("template"), str):
            found[str(entry.get("name"))] = entry["template"]
    more = folder / "additional_chat_templates"
    files = sorted(more.glob("*.jinja")) if more.is_dir() else []
    for path in [*files, *folder.glob("chat_template.jinja")]:
        name = "default" if path.parent == folder else path.stem
        found[name] = path.read_text(encoding="utf-8", errors="replace")
    legacy = read_optional(folder / "chat_template.json").get("chat_template")
    if isinstance(legacy, str):
        found.setdefault("default", legacy)
    keys: dict[str, Value] = {}
    if "default" in found:
        keys["tokenizer.chat_template"] = found.pop("default")
    if found:
        names = [re.sub(r"[^a-zA-Z0-9_-]", "_", name)[:60] for name in found]
        keys["tokenizer.chat_templates"] = names
        for name, template in zip(names, found.values(), strict=True):
            keys[f"tokenizer.chat_template.{name}"] = template
    return keys
