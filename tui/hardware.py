"""Keeps what is known of this machine: reads it in a thread, measures it in a child, supposes another.

Every change is posted as a message. `machine` counts what the app's own engine holds as free.
"""

from __future__ import annotations

import asyncio
import dataclasses
import sys
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backend.errors import SternaError
from backend.text import clean
from tui.messages import HardwareChanged
from tui.state import Hardware, Memory

if TYPE_CHECKING:
    from textual.message import Message

    from backend.machine import Machine
    from tui.sources import Sources

NOTICEABLE = 0.02  # of all memory: a change of what is free that verdicts follow


class HardwareKeeper:
    """One reading at a time, one measurement at a time. `post` receives the messages."""

    def __init__(self, post: Callable[[Message], object], sources: Sources) -> None:
        self._post = post
        self._sources = sources
        self._reading: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None
        self._tried: set[str] = set()  # types that were asked for: not every one can be measured
        self._glanced = False
        self._memory: Memory | None = None
        self.hardware = Hardware()

    # Reading

    def read(self) -> None:
        """Read the machine again. Returns at once."""
        if self._reading is None or self._reading.done():
            self._reading = asyncio.create_task(self._read())

    async def _read(self) -> None:
        machine = await asyncio.to_thread(self._sources.hardware)
        self._change(machine=self._as_seen(machine))

    def follow(self, memory: Memory) -> None:
        """Take in what is free now, where that changes verdicts."""
        self._memory, machine = memory, self.hardware.machine
        if machine is None:
            return
        now = self._as_seen(machine)
        change = abs(now.memory.available - machine.memory.available)
        if change >= NOTICEABLE * machine.memory.total:
            self._change(machine=now)

    def _as_seen(self, machine: Machine) -> Machine:
        """Return a machine with what is free for another model now."""
        if self._memory is None or "ram" in (*machine.assumed, *machine.set_right):
            return machine
        free = self._memory.free + self._memory.engine
        return dataclasses.replace(
            machine, memory=dataclasses.replace(machine.memory, available=free)
        )

    def ran(self) -> None:
        """Note that a model ran: what is told of its speed is to be looked up again."""
        self._change()

    def suppose(self, ram: int | None, vram: int | None) -> None:
        """Suppose another machine, or this one again. Returns at once."""
        from backend.machine import suppose

        suppose(ram=ram, vram=vram)
        self.read()

    # Measuring

    def measure(self, types: Sequence[str] = (), *, again: bool = False) -> None:
        """Measure what is not known, in a process of its own. Returns at once.

        The first time a glance tells whether what is known was measured while others had the memory.
        """
        wanted = [name for name in types if name not in self._tried]
        if self._glanced and not wanted and not again:
            return
        if self._measuring is None or self._measuring.done():
            self._glanced = True
            self._tried.update(wanted)
            self._measuring = asyncio.create_task(self._measure(wanted, again))

    async def _measure(self, types: Sequence[str], again: bool) -> None:
        self._change(measuring="measuring this machine")
        child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-P", "-m", "backend.machine"),
            *([*types, "--again"] if again else types),
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            assert child.stdout is not None
            async for line in child.stdout:
                self._change(measuring=clean(line.decode("utf-8", "replace").strip()))
            await child.wait()
            machine = await asyncio.to_thread(self._sources.hardware)
            self._change(machine=self._as_seen(machine), measuring="")
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()

    async def close(self) -> None:
        """Stop what is going on."""
        for task in (self._reading, self._measuring):
            if task is not None:
                task.cancel()
                await asyncio.wait([task])

    def _change(self, **changes: object) -> None:
        told = set(changes) == {"measuring"}  # words alone change no verdict
        reading = self.hardware.reading + (not told)
        self.hardware = dataclasses.replace(self.hardware, reading=reading, **changes)  # type: ignore[arg-type]
        self._post(HardwareChanged(self.hardware))


def simulation(text: str) -> tuple[int | None, int | None]:
    """Return the memory and GPU memory that a person means by `32GB 8GB`; empty: this machine.

    Raises SternaError.
    """
    from backend.units import parse_bytes

    parts = text.replace(",", " ").split()
    if len(parts) > 2:
        raise SternaError(
            "bad_argument", "Give at most two sizes.", "Memory, then that of a GPU: 32GB 8GB."
        )
    try:
        sizes = [parse_bytes(part) for part in parts]
    except ValueError as error:
        raise SternaError("bad_argument", f"{error}.", "As in 32GB 8GB.") from None
    ram, vram = (*sizes, None, None)[:2]
    return ram, vram
