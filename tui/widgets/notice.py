"""A few lines between conversation and message: what goes on, what went wrong, which key helps."""

from __future__ import annotations

from textual.content import Content
from textual.widgets import Static

from backend.errors import SternaError
from tui import words


class Notice(Static):
    """Hidden while it has nothing to say."""

    _about = ""

    def on_mount(self) -> None:
        self.display = False

    def tell(self, text: str, about: str = "") -> None:
        """Say what goes on."""
        self._about = about
        self._show(Content(text), failed=False)

    def fail(self, error: SternaError, keys: str = "", about: str = "") -> None:
        """Say what went wrong, its way out, and the key for it."""
        self._about = about
        fact, hint = words.fact_and_hint(error)
        parts = [Content.styled(f"✗ {fact}", "$text-error bold")]
        parts += [Content(line) for line in (hint, keys) if line]
        self._show(Content("\n").join(parts), failed=True)

    def hide(self, about: str = "") -> None:
        """Say nothing; with `about`, only if that was what it spoke of."""
        if about in ("", self._about):
            self.display = False

    def _show(self, content: Content, *, failed: bool) -> None:
        self.set_class(failed, "-error")
        self.display = True
        self.update(content)
