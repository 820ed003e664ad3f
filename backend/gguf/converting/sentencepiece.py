"""The few fields that are needed of a SentencePiece model file (a protocol buffer).

ModelProto: 1 pieces {1 text, 2 score as float, 3 kind}, 2 trainer {3 model type: 1 unigram, 2 BPE},
3 normaliser {3 add_dummy_prefix}. Kinds are those of GGUF's token_type.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend.gguf.converting.documents import bad_checkpoint

_MAX = 64 << 20
_NORMAL, _BPE = 1, 2
_VARINT, _LONG, _BYTES, _WORD = 0, 1, 2, 5  # wire types


@dataclass(frozen=True, slots=True)
class Piece:
    """A token."""

    text: bytes
    score: float
    kind: int


@dataclass(frozen=True, slots=True)
class SentencePiece:
    """A model: its pieces by id. `prefix`: a space is put before every text."""

    pieces: list[Piece]
    bpe: bool
    prefix: bool


def read_sentencepiece(path: Path) -> SentencePiece:
    """Read tokenizer.model; raises SternaError."""
    if path.stat().st_size > _MAX:
        raise bad_checkpoint(f"{path.name} is too large")
    pieces, kind, prefix = [], 1, True
    try:
        for field, value in _fields(path.read_bytes()):
            if field == 1 and isinstance(value, bytes):
                pieces.append(_piece(value))
            elif field == 2 and isinstance(value, bytes):
                kind = next(
                    (int(v) for f, v in _fields(value) if f == 3 and isinstance(v, int)), kind
                )
            elif field == 3 and isinstance(value, bytes):
                prefix = next((bool(v) for f, v in _fields(value) if f == 3), prefix)
    except (ValueError, IndexError, struct.error):
        raise bad_checkpoint(f"{path.name} is no SentencePiece model") from None
    if not pieces:
        raise bad_checkpoint(f"{path.name} holds no tokens")
    return SentencePiece(pieces, kind == _BPE, prefix)


def _piece(data: bytes) -> Piece:
    text, score, kind = b"", 0.0, _NORMAL
    for field, value in _fields(data):
        if field == 1 and isinstance(value, bytes):
            text = value
        elif field == 2 and isinstance(value, float):
            score = value
        elif field == 3 and isinstance(value, int):
            kind = value
    return Piece(text, score, kind if 1 <= kind <= 6 else _NORMAL)


def _fields(data: bytes) -> Iterator[tuple[int, int | float | bytes]]:
    """Yield number and value of each field; raises ValueError, IndexError, struct.error."""
    at = 0
    while at < len(data):
        tag, at = _varint(data, at)
        field, wire = tag >> 3, tag & 7
        if wire == _VARINT:
            value, at = _varint(data, at)
            yield field, value
        elif wire == _BYTES:
            size, at = _varint(data, at)
            if size > len(data) - at:
                raise ValueError(size)
            yield field, data[at : at + size]
            at += size
        elif wire == _WORD:
            yield field, struct.unpack_from("<f", data, at)[0]
            at += 4
        elif wire == _LONG:
            at += 8
        else:
            raise ValueError(wire)


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, at
        shift += 7
        if shift > 63:
            raise ValueError(shift)
