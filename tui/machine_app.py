"""The app's part that knows the machine: readings, measurements, and a machine that is supposed."""

from __future__ import annotations

from textual import on
from textual.binding import Binding
from textual.reactive import reactive

from tui.hardware import HardwareKeeper
from tui.messages import (
    HardwareChanged,
    MachineWanted,
    MeasureWanted,
    ReadingWanted,
    SimulationWanted,
)
from tui.sources import Sources
from tui.state import Hardware
from tui.swift import SwiftApp

MEASURE_DELAY = 2.0  # seconds after the machine was read: the first ones belong to the person
MACHINE_KEY = Binding(
    "f3",
    "machine",
    "machine",
    show=False,
    tooltip="This machine: what was found, measured and supposed",
    id="app.machine",
)


class MachineApp(SwiftApp, inherit_bindings=False):
    """Keeps `hardware`, which screens watch."""

    hardware: reactive[Hardware] = reactive(Hardware())

    def __init__(self, sources: Sources) -> None:
        super().__init__()
        self._sources = sources
        self._hardware = HardwareKeeper(self.post_message, sources)

    @on(HardwareChanged)
    def _hardware_changed(self, message: HardwareChanged) -> None:
        first = self.hardware.machine is None
        self.hardware = message.hardware
        if first and self._sources.measure:
            self.set_timer(MEASURE_DELAY, self._hardware.measure)

    @on(ReadingWanted)
    def _reading_wanted(self) -> None:
        self._hardware.read()

    @on(MeasureWanted)
    def _measure_wanted(self, message: MeasureWanted) -> None:
        if self._sources.measure or message.again:
            self._hardware.measure(message.types, again=message.again)

    @on(SimulationWanted)
    def _simulation_wanted(self, message: SimulationWanted) -> None:
        self._hardware.suppose(message.ram, message.vram)

    @on(MachineWanted)
    def action_machine(self) -> None:
        """Show what this machine is."""
        from tui.screens.machine import MachineScreen

        if not isinstance(self.screen, MachineScreen):
            self.push_screen(MachineScreen(self._sources))
