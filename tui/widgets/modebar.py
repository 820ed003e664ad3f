"""The second line: the modes, which one is open, and a note on the right."""

from __future__ import annotations

from textual.content import Content
from textual.widget import Widget

_MODES = (("1", "models", "Models"), ("3", "chat", "Chat"), ("4", "train", "Train"))
_LATER = "later: 2 Hub"


class ModeBar(Widget):
    """Modes can be clicked. The Hub is named as what it is: not here yet."""

    ALLOW_SELECT = False

    def __init__(self, current: str) -> None:
        super().__init__()
        self._current = current

    def render(self) -> Content:
        """Return the line for the present width."""
        line = Content()
        for key, mode, title in _MODES:
            style = "reverse bold" if mode == self._current else "$foreground 60%"
            tab = Content.from_markup(f"[@click=app.mode('{mode}')] {key} {title} [/]")
            line = line + Content(" ") + tab.stylize(style)
        gap = self.size.width - line.cell_length - len(_LATER) - 1
        if gap < 2:
            return line
        return line + Content(" " * gap) + Content.styled(_LATER, "$foreground 40%")
