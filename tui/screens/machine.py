"""The machine in full: what was found and by which probe, what was measured and when, what is supposed."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING, ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import VerticalScroll
from textual.content import Content
from textual.screen import Screen
from textual.widgets import Static

from tui import machine_words, words
from tui.messages import MeasureWanted, ReadingWanted
from tui.screens.supposing import SUPPOSE_KEY, suppose
from tui.sources import Sources
from tui.state import Hardware
from tui.widgets.keybar import KeyBar
from tui.widgets.ledger import Ledger

if TYPE_CHECKING:
    from backend.machine import Machine

NAME, PROBE = 14, 34  # cells
ADVICE = (
    "Verdicts are told from this: memory that is free, and speeds as they were measured. Each real run "
    "of a model corrects them. A figure that is wrong can be set right under [machine] in the settings; "
    "what the probes answered is in `sterna machine --raw`."
)


class MachineScreen(Screen[None], inherit_bindings=False):
    """A row a fact."""

    CSS_PATH = "machine.tcss"
    HELP = (
        "What was found of this machine, each figure with the probe that said so, and how fast it "
        "really is for Sterna's kernels."
    )
    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape,q,f3", "leave", "back", key_display="esc", id="machine.back"),
        Binding(
            "m", "measure", "measure again", tooltip="Measure speeds again", id="machine.measure"
        ),
        Binding("r", "read", "look again", tooltip="Ask every probe again", id="machine.read"),
        SUPPOSE_KEY,
        Binding("y", "copy", "copy", tooltip="Copy what is shown", id="machine.copy"),
        Binding("down,j", "scroll(1)", "Down", show=False, id="machine.down"),
        Binding("up,k", "scroll(-1)", "Up", show=False, id="machine.up"),
        Binding("pagedown,space", "scroll(10)", "Page down", show=False, id="machine.page_down"),
        Binding("pageup", "scroll(-10)", "Page up", show=False, id="machine.page_up"),
    ]

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
        self._machine: Machine | None = None

    def compose(self) -> ComposeResult:
        yield Ledger()
        with VerticalScroll(id="facts", can_focus=False):
            yield Static(markup=False, id="found")
        yield KeyBar()

    def on_mount(self) -> None:
        self.watch(self.app, "hardware", self._hardware_changed)

    def on_resize(self) -> None:
        """Wrap anew."""
        self._hardware_changed(self.app.hardware)  # type: ignore[attr-defined]

    def _hardware_changed(self, hardware: Hardware) -> None:
        self._machine = hardware.machine
        width = self.query_one("#facts").scrollable_content_region.width or 78
        lines = [Content.styled("This machine", "bold"), *_state(hardware, self._sources.now())]
        if hardware.machine is None:
            lines.append(Content("Asking the probes…"))
        else:
            lines += [Content(), *table(hardware.machine, width)]
        lines += [Content(), *(Content.styled(row, "$text-muted") for row in _wrap(ADVICE, width))]
        self.query_one("#found", Static).update(Content("\n").join(lines))

    def action_measure(self) -> None:
        """Measure again."""
        self.app.post_message(MeasureWanted(again=True))

    def action_read(self) -> None:
        """Ask every probe again."""
        self.app.post_message(ReadingWanted())

    def action_suppose(self) -> None:
        """Suppose another machine."""
        suppose(self, self._machine)

    def action_copy(self) -> None:
        """Copy the facts."""
        if self._machine is not None:
            rows = machine_words.rows(self._machine)
            self.app.copy_to_clipboard("\n".join("\t".join(row).rstrip() for row in rows))
            self.notify("Copied, if the terminal lets programs copy.", markup=False)

    def action_scroll(self, rows: int) -> None:
        """Read on."""
        self.query_one("#facts").scroll_relative(y=rows, animate=False)

    def action_leave(self) -> None:
        """Go back."""
        self.dismiss()


def _state(hardware: Hardware, now: float) -> list[Content]:
    """Return what is supposed, and when speeds were measured."""
    lines, machine = [], hardware.machine
    if machine is not None and machine.assumed:
        what = " and ".join({"ram": "memory", "vram": "GPU"}[name] for name in machine.assumed)
        told = f" {what} as given, not as found. S with an empty answer ends it."
        lines.append(Content.assemble(("SIM", "$text-warning reverse"), told))
    if hardware.measuring:
        lines.append(Content.styled(f"◐ {hardware.measuring}…", "$text-warning"))
    elif machine is not None and machine.speeds is None:
        lines.append(
            Content.styled("Speeds were not measured yet: m measures them.", "$text-warning")
        )
    elif machine is not None and machine.speeds is not None:
        ago = words.ago(machine.speeds.at, now)
        when = "just now" if ago == "now" else f"{ago} ago"
        lines.append(Content.styled(f"Speeds were measured {when}.", "$text-muted"))
    return lines


def table(machine: Machine, width: int) -> list[Content]:
    """Return the facts; where it is narrow, the probe stands under its fact."""
    lines: list[Content] = []
    wide = width >= 100
    room = width - NAME - (PROBE if wide else 0)
    for name, fact, probe in machine_words.rows(machine):
        first, *more = _wrap(fact, room)
        title = (f"{name:<{NAME}}", "$text-muted")
        beside = (f"{first:<{room}}", "") if wide else (first, "")
        lines.append(Content.assemble(title, beside, (probe if wide else "", "$text-muted")))
        lines += [Content(" " * NAME + row) for row in more]
        if not wide and probe:
            lines.append(Content.styled(f"{'':<{NAME}}↳ {probe}", "$text-muted"))
    return lines


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 20)) or [""]
