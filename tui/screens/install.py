"""An offer to install what a mode needs and the base install leaves out."""

from __future__ import annotations

import asyncio
from typing import ClassVar

from textual import work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.screen import ModalScreen
from textual.widgets import Static

from backend import extras
from backend.errors import SternaError
from tui import words


class InstallScreen(ModalScreen[bool]):
    """Returns whether the packages were installed."""

    CSS_PATH = "ask.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "install", "install", key_display="⏎", id="install.go"),
        Binding("escape", "leave", "leave", key_display="esc", id="install.leave"),
    ]

    def __init__(self, question: str, requirements: list[str]) -> None:
        super().__init__()
        self._question = question
        self._requirements = requirements
        self._installing = False

    def compose(self) -> ComposeResult:
        with Vertical(id="ask"):
            yield Static(self._question, markup=False)
            yield Static("  " + "  ".join(self._requirements), markup=False)
            yield Static("", markup=False, id="progress")
            yield Static("⏎ install   esc not now", markup=False, classes="keys")

    def _tell(self, line: str) -> None:
        self.query_one("#progress", Static).update(line[: max(20, self.size.width - 12)])

    def action_install(self) -> None:
        """Begin, once."""
        if not self._installing:
            self._installing = True
            self.query_one(".keys", Static).update("esc stops the installation")
            self._install()

    @work(exclusive=True, group="install", exit_on_error=False)
    async def _install(self) -> None:
        try:
            await extras.install(self._requirements, self._tell)
        except SternaError as error:
            self._installing = False
            self.query_one("#progress", Static).update(" ".join(words.fact_and_hint(error)))
            self.query_one(".keys", Static).update("⏎ try again   esc leave")
        except asyncio.CancelledError:
            self.dismiss(False)
            raise
        else:
            self.dismiss(True)

    def action_leave(self) -> None:
        """Stop an installation that runs; leave otherwise."""
        if self._installing:
            self.workers.cancel_group(self, "install")
        else:
            self.dismiss(False)
