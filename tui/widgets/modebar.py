"""The second line: the modes, which one is open, and on the right how the downloads stand."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

from tui.queue_words import brief
from tui.state import Downloads

_MODES = (
    ("1", "models", "Models"),
    ("2", "hub", "Hub"),
    ("3", "chat", "Chat"),
    ("4", "train", "Train"),
)


class ModeBar(Widget):
    """Modes can be clicked, and the downloads, too."""

    ALLOW_SELECT = False

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current
        self._downloads = ""

    def on_mount(self) -> None:
        self.watch(self.app, "downloads", self._downloads_changed)

    def _downloads_changed(self, downloads: Downloads) -> None:
        said = brief(downloads)
        if said != self._downloads:
            self._downloads = said
            self.refresh()

    def render(self) -> Content:
        """Return the line for the present width."""
        line = Content()
        for key, mode, title in _MODES:
            style = "reverse bold" if mode == self._current else "$foreground 60%"
            tab = Content.from_markup(f"[@click=app.mode('{mode}')] {key} {title} [/]")
            line = line + Content(" ") + tab.stylize(style)
        press = Content.from_markup("[@click=app.downloads]$said[/]", said=self._downloads)
        right = press.stylize("bold $text-accent")
        gap = self.size.width - line.cell_length - right.cell_length - 1
        return line + Content(" " * gap) + right if gap >= 2 else line
