"""The part of a reply that is still plain text: an open code block, or what Markdown will get next."""

from __future__ import annotations

from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tui.widgets.steady import update_in_place

CHUNK = 32  # lines in one widget; only the last one is wrapped again as the text grows


class OpenText(Vertical):
    """Shows a text that grows at its end, at a cost that does not grow with it."""

    def __init__(self) -> None:
        super().__init__()
        self._settled = 0  # lines in the chunks that are full
        self.display = False

    async def show(self, text: str) -> None:
        """Show `text`, which begins with what was shown before, or is something new."""
        self.display = bool(text)
        if not text:
            await self.clear()
            return
        lines = text.split("\n")
        if len(lines) <= self._settled:
            await self.clear()
        while len(lines) - self._settled > CHUNK:
            full = Content("\n".join(lines[self._settled : self._settled + CHUNK]))
            await self._last(full)
            self._settled += CHUNK
            await self.mount(Static(markup=False))
        await self._last(Content("\n".join(lines[self._settled :])))

    async def clear(self) -> None:
        """Show nothing."""
        self._settled = 0
        if self.children:
            await self.remove_children()

    async def _last(self, content: Content) -> None:
        if not self.children:
            await self.mount(Static(content))
            return
        last = self.children[-1]
        assert isinstance(last, Static)
        update_in_place(last, content)
