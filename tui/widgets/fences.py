"""Finds the code block that is still open in a text that grows. Plain text, no widgets."""

from __future__ import annotations

import re

_LEAD = r"[ \t]*(?:(?:[-*+]|\d{1,9}[.)])[ \t]+|>[ \t]?)*"
_OPENING = re.compile(_LEAD + r"(?P<marks>`{3,}|~{3,})(?P<info>.*)$")
_MAY_OPEN = re.compile(_LEAD + r"(?:`{1,2}$|~{1,2}$|`{3}|~{3})")


class FenceTracker:
    """Fed with a growing text; knows how far it can be rendered for good.

    A Markdown widget renders the whole of its last block again with every piece, which makes an
    open code block quadratic. So the text is split at the open fence: what stands before it is
    Markdown, what follows is plain text until the fence closes.
    """

    def __init__(self) -> None:
        self._read = 0  # offset after the last complete line
        self._fence = ""  # the opening marks, while inside
        self._start = 0  # offset of the opening line

    def split(self, text: str) -> int:
        """Return the offset up to which `text` may go to Markdown now.

        `text` is all there is so far and only ever grows at its end.
        """
        while (end := text.find("\n", self._read)) >= 0:
            self._line(text[self._read : end], self._read)
            self._read = end + 1
        if self._fence:
            return self._start
        # A line that may become a fence waits until it is whole.
        return self._read if _MAY_OPEN.match(text, self._read) else len(text)

    def code(self, text: str) -> str:
        """Return the lines of the open code block, without its opening line."""
        if not self._fence:
            return ""
        return text[text.index("\n", self._start) + 1 :]

    def _line(self, line: str, offset: int) -> None:
        if self._fence:
            marks = line.strip()
            if marks.startswith(self._fence) and not marks.strip(self._fence[0]):
                self._fence = ""
        elif (match := _OPENING.match(line)) and (
            "~" in match["marks"] or "`" not in match["info"]
        ):
            self._fence, self._start = match["marks"], offset
