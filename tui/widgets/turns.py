"""One message of a conversation, as a widget."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.widgets import Static

from backend.text import StreamCleaner, clean
from tui import words
from tui.widgets.streamed import Streamed

ENDINGS = {
    "length": "stopped: the context is full",
    "cancelled": "stopped by you",
    "error": "broken off by an error",
    "interrupted": "broken off: Sterna ended",
}


@dataclass(frozen=True, slots=True)
class Stats:
    """What a reply cost. Seconds, tokens, tokens per second; `None` is not shown."""

    model: str = ""
    tokens: int | None = None
    per_second: float | None = None
    first_token: float | None = None
    prompt_tokens: int | None = None
    prompt_per_second: float | None = None
    cached: int | None = None
    ending: str = ""  # why it ended, when that is worth a word

    @classmethod
    def from_record(cls, model: str, record: Mapping[str, Any], reason: str | None) -> Stats:
        """Read what was stored with a reply; what is not a number is not known."""
        names = ("tokens", "per_second", "first_token", "prompt_tokens", "prompt_per_second")
        numbers = {
            name: record[name]
            for name in (*names, "cached")
            if isinstance(record.get(name), int | float)
        }
        return cls(model=model, ending=ENDINGS.get(reason or "", ""), **numbers)

    def line(self) -> str:
        """Return the line under a reply."""
        parts = [
            clean(self.model),
            f"{words.rate(self.per_second)} tok/s" if self.per_second else "",
            f"first token {words.seconds(self.first_token)}" if self.first_token else "",
            f"{self.tokens:,} tokens" if self.tokens is not None else "",
            self._prompt(),
            self.ending,
        ]
        return " · ".join(part for part in parts if part)

    def _prompt(self) -> str:
        if self.prompt_tokens is None:
            return ""
        cached = f" ({self.cached:,} cached)" if self.cached else ""
        speed = f" at {words.rate(self.prompt_per_second)}/s" if self.prompt_per_second else ""
        return f"prompt {self.prompt_tokens:,}{cached}{speed}"


@dataclass(frozen=True, slots=True)
class Turn:
    """A message: who, what, and for a reply what it cost."""

    id: int
    role: str  # user, assistant or system
    text: str
    reasoning: str = ""
    stats: Stats | None = None
    sent: bool = True  # false: left out of what the model is sent
    versions: tuple[int, ...] = ()  # the ids of all versions of this message, itself included

    @property
    def version(self) -> str:
        """Which version this is, when there are several."""
        if len(self.versions) < 2 or self.id not in self.versions:
            return ""
        return f"⑂ {self.versions.index(self.id) + 1}/{len(self.versions)}"


class TurnView(Vertical):
    """A message on the screen. The transcript marks the chosen one."""

    def __init__(self, turn: Turn) -> None:
        super().__init__()
        self.turn = turn
        self.set_class(not turn.sent, "-left-out")

    @property
    def text(self) -> str:
        """The message, fit to be shown and copied."""
        return clean(self.turn.text, newlines=True)

    @property
    def notes(self) -> str:
        """What stands beside a message: its version, and whether it is sent."""
        parts = [self.turn.version, "" if self.turn.sent else "no longer sent"]
        return " · ".join(part for part in parts if part)


class UserView(TurnView):
    """What the person said: plain text, as it was typed."""

    def compose(self) -> ComposeResult:
        who = "You" if self.turn.role == "user" else "System"
        yield Static(who, markup=False, classes="who")
        yield Static(self.text, markup=False, classes="said")
        if self.notes:
            yield Static(self.notes, markup=False, classes="notes")


class ReplyView(TurnView):
    """What the model said, as Markdown, with its cost beneath."""

    def __init__(self, turn: Turn) -> None:
        super().__init__(turn)
        self.streamed = Streamed(turn.text)
        self._reasoning = clean(turn.reasoning, newlines=True)
        self._reasoning_cleaner = StreamCleaner()
        self._unfolded = False

    def compose(self) -> ComposeResult:
        yield Static(self._thought(), markup=False, classes="reasoning")
        yield self.streamed
        yield Static(self._cost(), markup=False, classes="cost")

    def on_mount(self) -> None:
        self.query_one(".reasoning").display = bool(self._reasoning)

    @property
    def text(self) -> str:
        """The reply so far."""
        return self.streamed.text

    @property
    def has_reasoning(self) -> bool:
        """Whether the model thought aloud."""
        return bool(self._reasoning)

    def push(self, piece: str, reasoning: str = "") -> None:
        """Add a piece of the reply, or of the thinking before it."""
        if reasoning:
            self._reasoning += self._reasoning_cleaner.push(reasoning)
            self._show_reasoning()
        if piece:
            self.streamed.push(piece)

    def tell(self, text: str) -> None:
        """Say how it goes, where the cost will stand."""
        self.query_one(".cost", Static).update(text, layout=False)

    def fold(self) -> None:
        """Show the thinking, or fold it to one line again."""
        self._unfolded = not self._unfolded
        self._show_reasoning()

    async def finish(self, turn: Turn) -> None:
        """The reply is whole: this is how it was kept."""
        self.turn = turn
        await self.streamed.finish()
        self.query_one(".cost", Static).update(self._cost())

    def _show_reasoning(self) -> None:
        line = self.query_one(".reasoning", Static)
        line.display = True
        line.update(self._thought())

    def _thought(self) -> str:
        if self._unfolded:
            return f"▾ thought\n{self._reasoning.strip()}"
        return f"▸ thought, {len(self._reasoning.split())} words"

    def _cost(self) -> str:
        cost = self.turn.stats.line() if self.turn.stats else ""
        return " · ".join(part for part in (cost, self.notes) if part)


def view_of(turn: Turn) -> TurnView:
    """Return the widget for a message."""
    return ReplyView(turn) if turn.role == "assistant" else UserView(turn)
