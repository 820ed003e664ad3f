"""The one sanitiser. Whatever comes from outside passes here before any screen or log.

Terminals obey control characters (ESC sequences, C1 codes) and bidirectional overrides can make a
name read as another. Both are replaced by visible characters, never dropped, so that a reader sees
that something was there. The same text is therefore safe in a table cell, a log and an error.
"""

import re

# C0 (tab and line feed are treated apart), DEL, C1, bidi controls, line and paragraph separators,
# invisible tag characters, byte order mark, lone surrogates.
_UNSAFE = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff]"
)


def _visible(match: re.Match[str]) -> str:
    code = ord(match.group())
    if code < 0x20:
        return chr(0x2400 + code)  # the control-picture block: ␛ for ESC
    return "\u2421" if code == 0x7F else "\ufffd"


def clean(text: str, *, newlines: bool = False) -> str:
    """Return `text` with every character that a terminal might obey made visible.

    With `newlines`, line feeds and tabs stay and CR LF becomes LF; otherwise all white space that
    would break a line becomes a space.
    """
    text = text.replace("\r\n", "\n")
    if not newlines:
        text = text.replace("\n", " ").replace("\t", " ")
    return _UNSAFE.sub(_visible, text)


class StreamCleaner:
    """`clean` for text that arrives in pieces: a CR LF may be cut between two of them."""

    def __init__(self) -> None:
        self._held = ""

    def push(self, piece: str) -> str:
        """Return what of `piece` can be shown now."""
        piece = self._held + piece
        self._held = ""
        if piece.endswith("\r"):
            piece, self._held = piece[:-1], "\r"
        return clean(piece, newlines=True)

    def flush(self) -> str:
        """Return what was held back."""
        rest, self._held = self._held, ""
        return clean(rest, newlines=True)
