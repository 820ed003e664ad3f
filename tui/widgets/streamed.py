"""Markdown that grows while a model speaks, at a cost that does not grow with it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical

from backend.text import StreamCleaner, clean
from tui.widgets.clean_markdown import cleaning
from tui.widgets.fences import FenceTracker
from tui.widgets.open_text import OpenText
from tui.widgets.steady import SteadyMarkdown

if TYPE_CHECKING:
    from markdown_it import MarkdownIt

BATCH = 0.1  # seconds between two paints
SHARE = 8  # Markdown rests this many times as long as it worked


def parser() -> MarkdownIt:
    """Return the parser for a model's words: HTML is text like any other, never dropped."""
    from markdown_it import MarkdownIt

    return cleaning(MarkdownIt("gfm-like", {"html": False, "linkify": False}))


class Streamed(Vertical):
    """Takes pieces by `push`, is whole after `finish`. Pieces are cleaned here.

    Two widgets share the work. Markdown formats what is settled and rests after each effort; what
    it has not had yet, an open code block above all, stands below it as plain text.
    """

    def __init__(self, text: str = "") -> None:
        super().__init__()
        self.text = clean(text, newlines=True)
        self._given = 0  # how much of the text Markdown has
        self._cleaner = StreamCleaner()
        self._fences = FenceTracker()
        self._waiting = False
        self._finished = False
        self._rest_until = 0.0

    def compose(self) -> ComposeResult:
        self._given = len(self.text)
        yield SteadyMarkdown(self.text, parser_factory=parser, open_links=False)
        yield OpenText()

    @property
    def busy(self) -> bool:
        """Whether a paint is due."""
        return self._waiting

    def push(self, piece: str) -> None:
        """Add a piece. The first is shown at once, later ones in batches."""
        first = not self.text
        self.text += self._cleaner.push(piece)
        if self._waiting or not self.text:
            return
        self._waiting = True
        if first:
            self.call_next(self._paint)
        else:
            self.set_timer(BATCH, self._paint)

    async def finish(self) -> None:
        """Render the whole once more: nothing of the streaming remains."""
        self._finished = True
        self.text += self._cleaner.flush()
        self._given = len(self.text)
        await self.query_one(SteadyMarkdown).update(self.text)
        await self.query_one(OpenText).show("")

    async def _paint(self) -> None:
        self._waiting = False
        if self._finished:
            return
        ready = self._fences.split(self.text)
        started = time.monotonic()
        if ready > self._given and started >= self._rest_until:
            piece, self._given = self.text[self._given : ready], ready
            await self.query_one(SteadyMarkdown).append(piece)
            ended = time.monotonic()
            self._rest_until = ended + SHARE * (ended - started)
        if not self._finished:  # it may have ended meanwhile
            code = self._fences.code(self.text)
            late = self._given < ready
            open_text = self.text[self._given : None if code else ready] if late else code
            await self.query_one(OpenText).show(open_text)
