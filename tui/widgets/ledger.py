"""The top line: what this machine has and what is loaded. What is not known is not shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.content import Content
from textual.reactive import reactive
from textual.widget import Widget

from backend.text import clean
from backend.units import human_bytes
from tui import words
from tui.messages import MachineWanted
from tui.state import Engine, Hardware, Memory, Phase

if TYPE_CHECKING:
    from backend.machine import Machine

_PHASE_STYLES = {
    Phase.NONE: "$foreground 60%",
    Phase.LOADING: "$text-warning",
    Phase.READY: "$text-success",
    Phase.ANSWERING: "$text-success bold",
    Phase.FAILED: "$text-error bold",
}


def _gpus(machine: Machine) -> str:
    """Return the GPUs' memory in a few words, a dash where there is none."""
    known = [gpu for gpu in machine.gpus if gpu.total is not None]
    if not known:
        return f"GPU {clean(machine.gpus[0].name)}" if machine.gpus else f"GPU {words.UNKNOWN}"
    total = sum(gpu.total or 0 for gpu in known)
    taken = sum((gpu.total or 0) - (gpu.free or 0) for gpu in known if gpu.free is not None)
    used = f"{words.gigabytes(taken)}/" if any(gpu.free is not None for gpu in known) else ""
    return f"GPU {used}{words.gigabytes(total)} GB"


class Ledger(Widget):
    """One line, filled from the app's shared facts; less telling parts go first when it is tight."""

    ALLOW_SELECT = False
    memory: reactive[Memory | None] = reactive(None)
    processor: reactive[str] = reactive("")
    engine: reactive[Engine] = reactive(Engine())
    hardware: reactive[Hardware] = reactive(Hardware())

    def on_mount(self) -> None:
        self.watch(self.app, "hardware", self._hardware_changed)
        self.watch(self.app, "memory", self._memory_changed)
        self.watch(self.app, "processor", self._processor_changed)
        self.watch(self.app, "engine", self._engine_changed)

    def _memory_changed(self, memory: Memory | None) -> None:
        self.memory = memory

    def _processor_changed(self, processor: str) -> None:
        self.processor = processor

    def _hardware_changed(self, hardware: Hardware) -> None:
        self.hardware = hardware

    def on_click(self) -> None:
        """Show the machine."""
        self.app.post_message(MachineWanted())

    def _engine_changed(self, engine: Engine) -> None:
        self.engine = engine

    def render(self) -> Content:
        """Return the line for the present width."""
        width = self.size.width
        state = Content.styled(self.engine.phase.value, _PHASE_STYLES[self.engine.phase])
        machines, models = self._machine_parts(), self._model_parts()
        tries = [(machine, model) for model in models for machine in machines[:-1]]
        tries += [(machines[-1], model) for model in models]
        for machine, model in tries:
            right = Content("   ").join([part for part in (model, state) if part])
            gap = width - 2 - machine.cell_length - right.cell_length
            if gap >= 2:
                return Content.assemble(" ", machine, " " * gap, right, " ")
        return Content.assemble(" ", state)

    def _machine_parts(self) -> list[Content]:
        """Return the left side, fullest first."""
        title = Content.styled("sterna", "bold $text-primary")
        parts = []
        if self.memory is not None:
            used, total = words.gigabytes(self.memory.used), words.gigabytes(self.memory.total)
            parts.append(Content(f"RAM {used}/{total} GB"))
        if self.processor:
            parts.append(Content(f"CPU {clean(self.processor)}"))
        title = Content.assemble(title, *self._simulated())
        dot = Content(" · ")
        rows = [parts[:most] for most in range(len(parts), 0, -1)]
        if (machine := self.hardware.machine) is not None:
            rows.insert(0, [*parts, Content(_gpus(machine))])
        shown = [Content("   ").join([title, dot.join(row)]) for row in rows]
        return [*shown, title]

    def _simulated(self) -> list[tuple[str, str] | str]:
        machine = self.hardware.machine
        if machine is None or not machine.assumed:
            return []
        given = human_bytes(machine.memory.available) if "ram" in machine.assumed else ""
        if "vram" in machine.assumed:
            given = f"{given} {_gpus(machine)}".strip()
        return ["  ", (f" SIM {given} ", "$text-warning reverse")]

    def _model_parts(self) -> list[Content]:
        """Return the loaded model, fullest first; its context meter outlives its name."""
        engine = self.engine
        if engine.phase in (Phase.NONE, Phase.FAILED) or not engine.name:
            return [Content()]
        size = human_bytes(engine.bytes) if engine.bytes else ""
        context = ""
        if engine.context:
            used = "" if engine.used is None else f"{words.tokens(engine.used)}/"
            context = f"ctx {used}{words.tokens(engine.context)}"
        known = [clean(part) for part in (engine.quant, size) if part]
        name = clean(f"{engine.name} + {engine.adapter}" if engine.adapter else engine.name)
        rows: tuple[list[str], ...] = (
            [name, *known],
            [words.cut(name, 24), *known],
            [words.cut(name, 20), *known[:1]],
            [],
        )
        return [
            Content(" · ".join(part for part in (" ".join(row), context) if part)) for row in rows
        ]
