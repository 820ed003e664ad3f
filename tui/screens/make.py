"""Which file to make of a model, chosen by its size and what it loses; and the job that makes it."""

from __future__ import annotations

import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on, work
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.message import Message
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker, WorkerState

from backend import paths
from backend.text import clean
from backend.units import human_bytes
from tui import making, words
from tui.making import Job
from tui.screens.ask import AskScreen
from tui.telling import tell_failed
from tui.widgets.job_line import described

if TYPE_CHECKING:
    from backend.library import LibraryModel
    from backend.offers import Choice, Offer

HEADINGS = "QUANT        SIZE  SHARE  LOSS (perplexity, published for an 8B)"
AGAIN = "! Quantised already: losses add up. Better begin from F16 or BF16."
WEIGH = (
    "A text of your own kind, or an importance matrix: bits go where it needs them. "
    "An empty answer takes it back."
)
REST = 16  # lines of the screen that are no choices
EVERY = 0.2  # seconds between two looks at a job


@dataclass
class Offered(Message):
    """What can be made is known."""

    offer: Offer


class Choices(OptionList):
    """The files that can be made; enter makes the chosen one."""

    HELP = "The files that can be made of this model, with their sizes. ⏎ makes the chosen one."
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("enter", "select", "make it", key_display="⏎", id="make.go"),
    ]


@dataclass(frozen=True)
class Chosen:
    """What shall be made. `weigh`: the text or importance matrix that tells where bits are needed."""

    offer: Offer
    choice: Choice
    weigh: Path | None


class MakeScreen(ModalScreen["Chosen | None"]):
    """Returns what shall be made, `None` for nothing."""

    CSS_PATH = "make.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("i", "weigh", "weigh by a text", id="make.weigh"),
        Binding("escape,q", "dismiss(None)", "leave it", key_display="esc", id="make.leave"),
    ]

    def __init__(self, model: LibraryModel, name: str) -> None:
        super().__init__()
        self._model = model
        self._called = name
        self._offer: Offer | None = None
        self._weigh: Path | None = None

    def compose(self) -> ComposeResult:
        with Vertical(id="make"):
            yield Static(self._heading(), id="title")
            yield Static("Working out the sizes…", markup=False, id="facts")
            yield Static(HEADINGS, markup=False, id="headings")
            yield Choices(markup=False, compact=True)
            yield Static(markup=False, id="about")
            weigh = "   i weigh by a text" if self._can_weigh else ""
            yield Static(f"⏎ make it{weigh}   esc leave it", markup=False, classes="keys")

    @property
    def _can_weigh(self) -> bool:
        return self._model.kind == "model"  # a checkpoint is not run, so nothing can be collected

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Weigh only what can be weighed."""
        return action != "weigh" or self._can_weigh

    def on_mount(self) -> None:
        self._show_choices(False)
        self._work_out()

    def on_resize(self) -> None:
        """Leave room for what is around the choices."""
        self.query_one(Choices).styles.max_height = max(self.size.height - REST, 3)

    def _show_choices(self, shown: bool) -> None:
        self.query_one("#headings").display = self.query_one(Choices).display = shown

    def _heading(self) -> Content:
        what = "A GGUF file" if self._model.kind == "checkpoint" else "A smaller file"
        return Content.assemble((f"{what} of ", "bold"), (clean(self._called), "bold"))

    @work(thread=True, exclusive=True, group="make", exit_on_error=False)
    def _work_out(self) -> None:
        self.post_message(Offered(making.offer(self._model)))

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Tell why nothing can be made of it."""
        if event.state is WorkerState.ERROR:
            tell_failed(self, event.worker)
            self.dismiss(None)

    @on(Offered)
    def _offered(self, message: Offered) -> None:
        message.stop()
        self._offer = offer = message.offer
        self._tell_facts()
        choices = self.query_one(Choices)
        choices.set_options(Option(_row(choice, offer)) for choice in offer.choices)
        self._show_choices(bool(offer.choices))
        if offer.choices:
            names = [choice.quant.name for choice in offer.choices]
            choices.highlighted = names.index(offer.usual) if offer.usual in names else 0
            choices.focus()
        else:
            self.query_one("#about", Static).update("It is as small as Sterna can make it.")

    @on(OptionList.OptionHighlighted)
    def _highlighted(self, message: OptionList.OptionHighlighted) -> None:
        message.stop()
        if self._offer is not None:
            choice = self._offer.choices[message.option_index]
            self.query_one("#about", Static).update(_about(choice, self._offer))

    @on(OptionList.OptionSelected)
    def _selected(self, message: OptionList.OptionSelected) -> None:
        message.stop()
        if self._offer is not None:
            choice = self._offer.choices[message.option_index]
            self.dismiss(Chosen(self._offer, choice, self._weigh))

    def action_weigh(self) -> None:
        """Ask for the text, or the matrix, that tells which weights matter."""

        def given(said: str | None) -> None:
            if said is None:
                return
            path = Path(said).expanduser() if said else None
            if path is not None and not path.is_file():
                self.notify(f"There is no file {clean(said)}.", severity="warning", markup=False)
                return
            self._weigh = path
            self._tell_facts()

        now = str(self._weigh) if self._weigh else ""
        self.app.push_screen(AskScreen(WEIGH, now, empty=True), given)

    def _tell_facts(self) -> None:
        if self._offer is not None:
            self.query_one("#facts", Static).update(_facts(self._offer, self._weigh))


def _facts(offer: Offer, weigh: Path | None) -> str:
    folder = words.short_path(paths.models_dir())
    lines = [
        f"Now {clean(offer.quant)}, {human_bytes(offer.bytes)}.",
        f"Goes to {folder} ({human_bytes(_free())} free).",
    ]
    if weigh is not None:
        lines.append(f"Bits go where {clean(weigh.name)} needs them; a text is read first.")
    return "\n".join([*lines, AGAIN] if offer.lossy else lines)


def _free() -> int:
    folder = paths.models_dir()
    while not folder.exists():
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _row(choice: Choice, offer: Offer) -> Content:
    quant = choice.quant
    size = f"{human_bytes(choice.bytes):>8}"
    share = f"{100 * choice.bytes / max(offer.bytes, 1):.0f} %"
    return Content.assemble(
        f"{quant.name:<9}", (size, "bold"), f"{share:>7}  {_loss(choice, offer)}"
    )


def _loss(choice: Choice, offer: Offer) -> str:
    """Say what was measured here, or else what is published."""
    quant = choice.quant
    here = offer.measured.get(quant.name)
    if here is not None:
        return f"{here.rise:+.2f} % measured here, {here.agreement:.0%} same token"
    if not quant.perplexity_percent:
        return quant.loss
    return f"{quant.loss} (+{quant.perplexity_percent:g} %)"


def _about(choice: Choice, offer: Offer) -> str:
    """Say more of the choice under the cursor."""
    quant = choice.quant
    lines = [f"for {quant.best_for}"]
    if quant.keeps:
        lines.append(f"keeps {quant.keeps}")
    if quant.name == offer.usual:
        lines[0] += " · usually taken"
    here = offer.measured.get(quant.name)
    if here is not None:
        said = f"measured by {clean(here.text)}, {here.tokens:,} tokens"
        if quant.perplexity_percent is not None:
            said += f"; published for an 8B: +{quant.perplexity_percent:g} %"
        lines.append(said)
    if choice.bytes > _free():
        lines.append(f"! It needs {human_bytes(choice.bytes)}: more than is free.")
    return "\n".join(lines)


class JobScreen(ModalScreen[bool]):
    """Shows a job that runs; returns whether it shall be stopped."""

    CSS_PATH = "make.tcss"
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("x", "dismiss(True)", "stop it", id="job.stop"),
        Binding("escape,q,z", "dismiss(False)", "let it run", key_display="esc", id="job.leave"),
    ]

    def __init__(self, job: Job) -> None:
        super().__init__()
        self._job = job

    def compose(self) -> ComposeResult:
        with Vertical(id="make"):
            yield Static(described(self._job), markup=False, id="far")
            yield Static("x stop it   esc let it run", markup=False, classes="keys")

    def on_mount(self) -> None:
        self.set_interval(EVERY, self._look)

    def _look(self) -> None:
        if self._job.ended:
            self.dismiss(False)
        else:
            self.query_one("#far", Static).update(described(self._job))
