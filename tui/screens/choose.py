"""Choosing one thing of a list by typing some of its name, or typing what is not in the list."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Input, OptionList, Static
from textual.widgets.option_list import Option

from backend.text import clean

MOST = 200  # that are listed


@dataclass(frozen=True, slots=True)
class Choice:
    """One thing: what it stands for, its name and a remark. `further`: opening it lists what is in it."""

    value: str
    name: str
    remark: str = ""
    further: bool = False


class ChooseScreen(ModalScreen[str | None]):
    """Returns the value of what was chosen, or what was typed; None when the person stepped back.

    `listed` gives the choices for what is typed so far.
    """

    CSS_PATH = "choose.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss", "back", key_display="esc", id="choose.back"),
        Binding("down", "move(1)", "down", show=False, priority=True, id="choose.down"),
        Binding("up", "move(-1)", "up", show=False, priority=True, id="choose.up"),
        Binding("tab", "complete", "complete", show=False, priority=True, id="choose.complete"),
    ]

    def __init__(
        self, question: str, listed: Callable[[str], Sequence[Choice]], placeholder: str
    ) -> None:
        super().__init__()
        self._question, self._listed, self._placeholder = question, listed, placeholder
        self._choices: list[Choice] = []

    def compose(self) -> ComposeResult:
        with Vertical(id="choose"):
            yield Static(self._question, markup=False)
            yield Input(placeholder=self._placeholder, compact=True, select_on_focus=False)
            yield OptionList(markup=False, compact=True)
            yield Static("⏎ take   tab complete   esc back", markup=False, classes="keys")

    def on_mount(self) -> None:
        self.query_one(OptionList).can_focus = False
        self._list("")

    @on(Input.Changed)
    def _typed(self, message: Input.Changed) -> None:
        message.stop()
        self._list(message.value)

    def _list(self, text: str) -> None:
        self._choices = list(self._listed(text))[:MOST]
        options = self.query_one(OptionList)
        options.set_options(_option(choice) for choice in self._choices)
        options.display = bool(self._choices)
        if self._choices:
            options.highlighted = 0

    @property
    def _chosen(self) -> Choice | None:
        place = self.query_one(OptionList).highlighted
        return self._choices[place] if self._choices and place is not None else None

    def action_move(self, by: int) -> None:
        """Go to another choice."""
        options = self.query_one(OptionList)
        if self._choices:
            options.highlighted = ((options.highlighted or 0) + by) % len(self._choices)

    def action_complete(self) -> None:
        """Take the chosen thing's name into the line."""
        if self._chosen is not None:
            self._write(self._chosen.value)

    def _write(self, text: str) -> None:
        line = self.query_one(Input)
        line.value = text
        line.cursor_position = len(text)

    @on(Input.Submitted)
    def _submitted(self) -> None:
        chosen = self._chosen
        typed = self.query_one(Input).value.strip()
        if chosen is not None:
            self._take(chosen)
        elif typed:
            self.dismiss(typed)

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        self._take(self._choices[message.option_index])

    def _take(self, choice: Choice) -> None:
        if choice.further:
            self._write(choice.value)
        else:
            self.dismiss(choice.value)


def _option(choice: Choice) -> Option:
    return Option(
        Content.assemble(
            (clean(choice.name), "bold"), (f"   {clean(choice.remark)}", "$foreground 60%")
        )
    )
