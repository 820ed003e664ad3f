"""The tokenizer of one model."""

import codecs
import re
from collections.abc import Sequence
from functools import cached_property
from typing import Protocol

from tokenizers import Tokenizer as Pipeline

from backend.gguf import GGUFFile
from backend.inference.tokenizer import build
from backend.inference.tokenizer.vocabulary import (
    BYTE,
    CONTROL,
    UNKNOWN,
    UNUSED,
    USER_DEFINED,
    Vocabulary,
    read_vocabulary,
)
from backend.templates import Rendered

_BYTE_TOKEN = re.compile(rb"^<0x([0-9A-Fa-f]{2})>$")


def _byte_characters() -> dict[str, int]:
    """GPT-2's mapping of characters to bytes: printable Latin-1 as itself, the rest from U+0100 on."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    mapping = {chr(b): b for b in plain}
    hidden = [b for b in range(256) if b not in mapping.values()]
    return mapping | {chr(256 + i): b for i, b in enumerate(hidden)}


_BYTES = _byte_characters()


class Tokenizer:
    """Encodes and decodes. Text never becomes a control token unless `special` says so.

    BOS: `encode(bos=None)` adds it when `special` is set, the file (or the habit of its kind) asks for
    it, and the ids do not begin with it already, so that a template that prints BOS itself gets one.
    """

    def __init__(self, vocabulary: Vocabulary, pipeline: Pipeline) -> None:
        self._vocabulary = vocabulary
        self._pipeline = pipeline  # knows no control token: they are cut out of text before it
        self.notes: list[str] = []
        self.add_bos = False
        self.space_prefix = vocabulary.model == "llama"

    @classmethod
    def from_gguf(cls, file: GGUFFile) -> "Tokenizer":
        """Build the tokenizer of a file; raises SternaError `unsupported_tokenizer`."""
        vocabulary = read_vocabulary(file)
        if vocabulary.model == "gpt2":
            pipeline, family, notes = build.byte_level(file, vocabulary)
            habit = family.add_bos
        else:
            pipeline, notes, habit = build.sentencepiece(file, vocabulary), [], True
        pipeline.add_special_tokens(build.special_tokens(vocabulary, USER_DEFINED))
        tokenizer = cls(vocabulary, pipeline)
        tokenizer.notes = notes
        tokenizer.add_bos = (
            bool(file.flag("tokenizer.ggml.add_bos_token", habit)) and vocabulary.bos is not None
        )
        if vocabulary.model == "llama":
            tokenizer.space_prefix = bool(file.flag("tokenizer.ggml.add_space_prefix", True))
        return tokenizer

    # --- ids with a meaning ----------------------------------------------------------------------

    @property
    def vocab_size(self) -> int:
        """Number of tokens."""
        return len(self._vocabulary.tokens)

    @property
    def bos_id(self) -> int | None:
        """The token that begins a text, or None."""
        return self._vocabulary.bos

    @property
    def eos_id(self) -> int | None:
        """The token that ends a text, or None."""
        return self._vocabulary.eos

    @property
    def eot_ids(self) -> frozenset[int]:
        """Every token that ends a turn."""
        return self._vocabulary.turn_ends

    def is_special(self, id_: int) -> bool:
        """Whether a token is no text of its own (control, unknown, unused)."""
        return self._vocabulary.kinds[id_] in (CONTROL, UNKNOWN, UNUSED)

    def text_of(self, id_: int | None) -> str:
        """Return a token as it is written in the file; empty for None."""
        return "" if id_ is None else self._vocabulary.text(id_)

    def has_token(self, text: str) -> bool:
        """Whether a control token is written so."""
        return text in self._control

    @property
    def control_texts(self) -> frozenset[str]:
        """How control tokens are written: what text of people must not be taken for."""
        return frozenset(self._control)

    @cached_property
    def _control(self) -> dict[str, int]:
        v = self._vocabulary
        return {v.text(i): i for i, kind in enumerate(v.kinds) if kind == CONTROL}

    def pipeline(self) -> Pipeline:
        """Return a library's object that also parses control tokens, to be saved beside an adapter."""
        pipeline: Pipeline = Pipeline.from_str(self._pipeline.to_str())
        pipeline.add_special_tokens(build.special_tokens(self._vocabulary, CONTROL))
        return pipeline

    # --- text to ids -----------------------------------------------------------------------------

    def encode(self, text: str, *, special: bool = False, bos: bool | None = None) -> list[int]:
        """Return the ids of a text; with `special`, control tokens written in it are parsed."""
        ids = self.part(text, special=special, first=True)
        if bos is None:
            bos = special and self.add_bos
        if bos and self.bos_id is not None and ids[:1] != [self.bos_id]:
            ids.insert(0, self.bos_id)
        return ids

    def part(self, text: str, *, special: bool, first: bool) -> list[int]:
        """Return the ids of a part of a text, without BOS; `first`: it begins the text.

        SentencePiece puts a space before text that begins, also after a control token.
        """
        text = text.encode("utf-8", "replace").decode("utf-8")  # lone surrogates have no bytes
        cut = special and bool(self._control)
        ids: list[int] = []
        begins = first
        for piece in self._cut.split(text) if cut else [text]:
            if cut and piece in self._control:
                ids.append(self._control[piece])
                begins = first
            elif piece:
                lead = " " if self.space_prefix and begins else ""
                ids += self._pipeline.encode(lead + piece, add_special_tokens=False).ids
                begins = False
        return ids

    @cached_property
    def _cut(self) -> re.Pattern[str]:
        names = sorted((re.escape(t) for t in self._control if t), key=len, reverse=True)
        return re.compile("(" + "|".join(names) + ")")

    # --- ids to text -----------------------------------------------------------------------------

    def piece(self, id_: int) -> bytes:
        """Return the bytes that a token stands for; control tokens stand for none."""
        if not 0 <= id_ < self.vocab_size or self.is_special(id_):
            return b""
        token, kind = self._vocabulary.tokens[id_], self._vocabulary.kinds[id_]
        if kind == USER_DEFINED:
            return token
        if self._vocabulary.model == "gpt2":
            text = token.decode("utf-8", "replace")
            if all(c in _BYTES for c in text):
                return bytes(_BYTES[c] for c in text)
            return token
        if kind == BYTE and (match := _BYTE_TOKEN.match(token)):
            return bytes([int(match[1], 16)])
        return token.replace(build.SPACE.encode(), b" ")

    def decode(self, ids: Sequence[int], *, special: bool = False) -> str:
        """Return the text of ids; with `special`, control tokens are written out."""
        decoder = self.stream_decoder(special=special)
        return "".join(decoder.push(i) for i in ids) + decoder.flush()

    def stream_decoder(self, *, special: bool = False, continued: bool = False) -> "StreamDecoder":
        """Return a decoder for ids that come one by one; `continued`: they follow other text."""
        return StreamDecoder(self, special=special, strip=self.space_prefix and not continued)


class StreamDecoder:
    """Turns ids into text as they come: whole characters only, what is no UTF-8 replaced."""

    def __init__(self, tokenizer: Tokenizer, *, special: bool, strip: bool) -> None:
        self._tokenizer = tokenizer
        self._show = special
        self._strip = strip  # the space that SentencePiece put before the text
        self._utf8 = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, id_: int) -> str:
        """Return the text that is complete with this token."""
        t = self._tokenizer
        if self._show and 0 <= id_ < t.vocab_size and t.is_special(id_):
            return self._utf8.decode(b"", final=True) + t.text_of(id_)
        piece = t.piece(id_)
        if self._strip and piece:
            self._strip = False
            piece = piece.removeprefix(b" ")
        return self._utf8.decode(piece)

    def flush(self) -> str:
        """Return what is left: an unfinished character as U+FFFD."""
        return self._utf8.decode(b"", final=True)


class Encoder(Protocol):
    """What is needed of a tokenizer to encode a conversation."""

    add_bos: bool

    @property
    def bos_id(self) -> int | None: ...
    def part(self, text: str, *, special: bool, first: bool) -> list[int]: ...


def encode_rendered(tokenizer: Encoder, rendered: Rendered) -> list[int]:
    """Return the ids of a rendered conversation.

    What the template wrote may be special; control tokens that people wrote (the spans) are text. All
    else is encoded together, so that tokens fall as they did in training.
    """
    ids: list[int] = []
    at = 0
    for start, end in (*rendered.spans, (len(rendered.text), len(rendered.text))):
        ids += tokenizer.part(rendered.text[at:start], special=True, first=at == 0)
        ids += tokenizer.part(rendered.text[start:end], special=False, first=False)
        at = end
    if tokenizer.add_bos and tokenizer.bos_id is not None and ids[:1] != [tokenizer.bos_id]:
        ids.insert(0, tokenizer.bos_id)
    return ids
