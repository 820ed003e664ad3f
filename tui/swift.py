"""An app whose first screen is painted without parsing its style sheets three times.

Textual starts with its own theme and parses every style sheet anew when an app then takes another
one, and once more when a mode is opened for the first time. Here the theme stands before the first
parse, and the first mode's screen is the default screen.
"""

from __future__ import annotations

import logging
import os
import sys

from rich.text import Text
from textual import constants
from textual.app import App
from textual.reactive import Reactive
from textual.theme import Theme

from backend import paths
from backend.text import clean
from tui import themes


class SwiftApp(App[None]):
    """Starts in the theme that `use_theme` names; a later change works as in any app."""

    theme: Reactive[str] = Reactive(constants.DEFAULT_THEME, init=False)

    def __init__(self) -> None:
        super().__init__()
        for theme in themes.THEMES:
            self.register_theme(theme)

    def _fatal_error(self) -> None:
        """Leave with one line instead of Textual's traceback, which goes to the log.

        Textual has no public way to say this.
        """
        logging.error("the app ended by an error", exc_info=self._exception)
        told = f"Sterna ended by an error of its own: {self._exception!r}."
        where = paths.log_dir() / "app.log"
        self._exit_renderables.append(Text(clean(f"{told} The details are in {where}.")))
        self._close_messages_no_wait()

    def use_theme(self, name: str) -> None:
        """Begin in this theme. For before the app runs; later, set `theme`."""
        self.set_reactive(SwiftApp.theme, name)
        chosen: Theme = self.current_theme
        self.add_class(f"-theme-{name}", "-dark-mode" if chosen.dark else "-light-mode")
        self.stylesheet.set_variables(self.get_css_variables())


def terminal_is_gone(app: App[None]) -> bool:
    """Whether the window was closed under the app.

    Where no signal tells of it, reading from what is left of the terminal returns at once and for
    ever, which would keep a core busy.
    """
    stdin = sys.__stdin__
    return not app.is_headless and stdin is not None and not os.isatty(stdin.fileno())
