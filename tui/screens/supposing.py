"""The key that supposes another machine, for every screen on which that matters."""

from __future__ import annotations

from typing import TYPE_CHECKING

from textual.binding import Binding

from backend.errors import SternaError
from backend.units import human_bytes
from tui import telling
from tui.messages import SimulationWanted

if TYPE_CHECKING:
    from textual.screen import Screen

    from backend.machine import Machine

SUPPOSE_KEY = Binding(
    "S",
    "suppose",
    "simulate",
    tooltip="Suppose another machine: its memory and that of its GPU",
    id="fit.suppose",
)
QUESTION = (
    "As if so much memory were free, and so much of a GPU: 32GB, or 32GB 8GB; empty: this machine"
)


def suppose(screen: Screen[None], machine: Machine | None) -> None:
    """Ask for the machine to suppose; an empty answer is this one again."""
    from tui.hardware import simulation
    from tui.screens.ask import AskScreen

    def answered(said: str | None) -> None:
        if said is None:
            return
        try:
            ram, vram = simulation(said)
        except SternaError as error:
            telling.tell(screen, error)
        else:
            screen.app.post_message(SimulationWanted(ram, vram))

    screen.app.push_screen(AskScreen(QUESTION, supposed(machine), empty=True), answered)


def supposed(machine: Machine | None) -> str:
    """Return what is supposed of a machine, as one would type it; empty: nothing."""
    if machine is None or not machine.assumed:
        return ""
    sizes = [human_bytes(machine.memory.available).replace(" ", "")]
    if "vram" in machine.assumed:
        sizes.append(human_bytes(sum(g.free or 0 for g in machine.gpus)).replace(" ", ""))
    return " ".join(sizes)
