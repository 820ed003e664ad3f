"""Base and tuned side by side: the same prompt, the same seed, one engine.

The adapter stands beside the base in one engine; each answer says how much of it counts, nothing or all.
So both fit where one does. While the run still trains, the adapter is that of its newest checkpoint.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.message import Message
from textual.screen import Screen
from textual.widgets import Input, Static

from backend.chat.wire import ChatMessage, Done
from backend.errors import SternaError
from backend.text import clean
from tui import words
from tui.answering import sampling_of
from tui.engine import EngineKeeper
from tui.panes.run_pane import RunPane, method
from tui.runs import Run
from tui.sources import Sources
from tui.state import Engine, Phase
from tui.telling import tell
from tui.widgets.keybar import KeyBar
from tui.widgets.ledger import Ledger

if TYPE_CHECKING:
    from backend.train.export.of_run import Written

SEED = 1
MOST = 512  # tokens of an answer: what has gone astray need not fill the context


@dataclass
class AdapterReady(Message):
    """The adapter of a run and its base are files now."""

    base: Path
    written: Written


@dataclass
class AdapterFailed(Message):
    """There is no adapter to talk to."""

    error: SternaError


class Side(VerticalScroll, can_focus=False):
    """One of the two: what was asked, and its own answers."""

    def __init__(self, title: str, scale: float) -> None:
        super().__init__()
        self.border_title = title
        self.scale = scale
        self.said: list[ChatMessage] = []
        self._shown: list[Content] = []
        self._note = ""

    def compose(self) -> ComposeResult:
        yield Static(markup=False)

    def ask(self, text: str) -> None:
        """Show a question; the answer follows."""
        self.said.append(ChatMessage("user", text))
        self._shown.append(Content.styled(f"❯ {clean(text, newlines=True)}", "$text-accent"))
        self.said.append(ChatMessage("assistant", ""))
        self._shown.append(Content())
        self._paint()

    def push(self, text: str) -> None:
        """Show more of the answer."""
        answer = self.said[-1].content + text
        self.said[-1] = ChatMessage("assistant", answer)
        self._shown[-1] = Content(clean(answer, newlines=True))
        self._paint()

    def note(self, text: str) -> None:
        """Show a word about how it goes, under the last answer."""
        self._note = text
        self._paint()

    def _paint(self) -> None:
        lines = [*self._shown, Content.styled(self._note, "$foreground 60%")]
        self.query_one(Static).update(Content("\n").join(lines))
        self.scroll_end(animate=False)


class BesideScreen(Screen[None], inherit_bindings=False):
    """Two columns and a line to ask both."""

    HELP = (
        "The base and what was learned, asked the same with the same seed. While the run trains, "
        "ctrl+r takes its newest checkpoint."
    )
    CSS_PATH = "beside.tcss"
    HORIZONTAL_BREAKPOINTS = [(0, "-narrow"), (140, "-broad")]  # noqa: RUF012
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "step_back", "back", key_display="esc", priority=True,
                tooltip="Stop the answers, or go back", id="beside.back"),
        Binding("ctrl+r", "newest", "newest checkpoint",
                tooltip="Take what the run has learned by now", id="beside.newest"),
        Binding("ctrl+n", "clear", "new chat", tooltip="Begin anew on both sides",
                id="beside.new"),
    ]  # fmt: skip

    def __init__(self, sources: Sources, keeper: EngineKeeper, run: Run) -> None:
        super().__init__()
        self._sources, self._keeper, self._run = sources, keeper, run
        self._written: Written | None = None
        self._answering = False

    def compose(self) -> ComposeResult:
        yield Ledger()
        yield Static(id="what", markup=False)
        with Horizontal(id="columns"):
            yield from _sides()
            yield RunPane(always=False)
        with Vertical(id="line"):
            yield Input(placeholder="Ask both", compact=True)
        yield KeyBar()

    def on_mount(self) -> None:
        self.query_one(Input).focus()
        self.watch(self.app, "engine", self._engine_changed)
        self.action_newest()

    @property
    def sides(self) -> list[Side]:
        """Base and tuned."""
        return list(self.query(Side))

    # The engine

    def action_newest(self) -> None:
        """Take what the run has learned by now."""
        if not self._answering:
            self._tell("writing the adapter…")
            self._prepare()

    @work(thread=True, exclusive=True, group="adapter", exit_on_error=False)
    def _prepare(self) -> None:
        from backend.train.export.of_run import adapter_of, base_of

        try:
            base = base_of(self._run.folder)
            self.post_message(AdapterReady(base, adapter_of(self._run.folder)))
        except SternaError as error:
            self.post_message(AdapterFailed(error))

    @on(AdapterReady)
    def _adapter_ready(self, message: AdapterReady) -> None:
        message.stop()
        before, self._written = self._written, message.written
        engine = self._keeper.engine
        loaded = engine.adapter == self._run.name and engine.phase is not Phase.FAILED
        if before == message.written and loaded:
            self.notify("It has learned nothing since.", markup=False)
        else:
            name = words.short_path(message.base).rpartition("/")[2].removesuffix(".gguf")
            self._keeper.load_tuned(message.base, name, message.written.path, self._run.name)
        self._engine_changed(self._keeper.engine)

    @on(AdapterFailed)
    def _adapter_failed(self, message: AdapterFailed) -> None:
        message.stop()
        tell(self, message.error)
        self._tell("✗ there is no adapter to talk to")

    def _engine_changed(self, engine: Engine) -> None:
        if engine.phase is Phase.FAILED and engine.error is not None:
            self._tell(f"✗ {' '.join(words.fact_and_hint(engine.error))}")
        elif self._written is not None:
            step = self._written.step
            when = f"after {step} steps" if step else "as it ended"
            loading = f"   ◐ {engine.detail or 'loading'}…" if engine.phase is Phase.LOADING else ""
            self._tell(f"{when}{loading}")

    def _tell(self, text: str) -> None:
        head = (f"{clean(self._run.name)}  ", "bold")
        line = Content.assemble(" ", head, f"{method(self._run)} · {clean(text)}")
        self.query_one("#what", Static).update(line)

    # Asking

    @on(Input.Submitted)
    def _submitted(self, message: Input.Submitted) -> None:
        message.stop()
        text = message.value.strip()
        if not text:
            return
        if self._answering or self._keeper.client is None:
            waits = "They still answer." if self._answering else "The model is not loaded yet."
            self.notify(waits, markup=False)
            return
        self.query_one(Input).clear()
        self._ask(text)

    @work(exclusive=True, group="answers", exit_on_error=False)
    async def _ask(self, text: str) -> None:
        self._answering = True
        self._keeper.answering(True)
        for side in self.sides:
            side.note("")
            side.ask(text)
        try:
            for side in self.sides:
                await self._answer(side)
        except SternaError as error:
            tell(self, error)
        finally:
            self._answering = False
            self._keeper.answering(False)

    async def _answer(self, side: Side) -> None:
        client = self._keeper.client
        if client is None:
            return
        wishes = self._sources.settings().chat
        sampling = replace(sampling_of(wishes), seed=SEED, lora=(side.scale,), max_tokens=MOST)
        system = [ChatMessage("system", wishes.system)] if wishes.system else []
        asked = [*system, *side.said[:-1]]
        async with aclosing(client.stream(asked, sampling)) as stream:
            async for event in stream:
                if isinstance(event, Done):
                    side.note(_cost(event))
                else:
                    side.push(event.text)

    def action_clear(self) -> None:
        """Begin anew on both sides."""
        if not self._answering:
            self.query_one("#columns").remove_children(Side)
            self.query_one("#columns").mount(*_sides(), before=0)

    def action_step_back(self) -> None:
        """Stop the answers; go back when there are none."""
        if self._answering:
            self.workers.cancel_group(self, "answers")
        else:
            self.dismiss()


def _sides() -> Iterable[Side]:
    return Side("base", 0.0), Side("tuned", 1.0)


def _cost(done: Done) -> str:
    count = done.usage.completion_tokens
    speed = done.timings.decode_per_second
    parts = [f"{count} tokens" if count is not None else "", f"{speed:.0f} tok/s" if speed else ""]
    return " · ".join(part for part in parts if part)
