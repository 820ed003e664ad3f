"""The memory of this machine while one chats: what the model holds, what others do, what is free."""

from __future__ import annotations

from textual.content import Content
from textual.reactive import reactive
from textual.timer import Timer
from textual.widget import Widget

from tui import words
from tui.messages import MemoryWanted
from tui.state import Engine, Memory, Phase
from tui.widgets import stacked
from tui.widgets.stacked import Part

EVERY = 1.0  # seconds, while a reply is written
FEWEST_CELLS = 10


class MemoryLine(Widget):
    """One line; hidden while no model is loaded."""

    ALLOW_SELECT = False
    DEFAULT_CSS = """
    MemoryLine { height: 1; width: 100%; color: $foreground 80%; display: none; }
    """
    memory: reactive[Memory | None] = reactive(None)
    engine: reactive[Engine] = reactive(Engine())

    def on_mount(self) -> None:
        self._ticking: Timer = self.set_interval(EVERY, self._ask, pause=True)
        self.watch(self.app, "memory", self._memory_changed)
        self.watch(self.app, "engine", self._engine_changed)

    def _ask(self) -> None:
        self.post_message(MemoryWanted())

    def _memory_changed(self, memory: Memory | None) -> None:
        self.memory = memory

    def _engine_changed(self, engine: Engine) -> None:
        self.engine = engine
        self.display = engine.usable and bool(engine.weights)
        if engine.phase is Phase.ANSWERING:
            self._ticking.resume()
        else:
            self._ticking.pause()

    def render(self) -> Content:
        """Return the line for the present width."""
        if self.memory is None:
            return Content()
        parts = shares(self.memory, self.engine)
        for legend in legends(self.memory, self.engine):
            cells = self.size.width - len(legend) - 3
            if cells >= FEWEST_CELLS:
                return Content.assemble(" ", stacked.bar(parts, cells), " ", legend)
        return Content.assemble(" ", stacked.bar(parts, self.size.width - 2))


def _cache(engine: Engine) -> tuple[int, int]:
    """Return the bytes of the cache that the conversation fills, and those that wait for it."""
    if not engine.context:
        return 0, engine.cache
    used = round(engine.cache * min(engine.used or 0, engine.context) / engine.context)
    return used, engine.cache - used


def shares(memory: Memory, engine: Engine) -> list[Part]:
    """Return the parts of all memory: what the engine's process holds, what it will, others, free."""
    used, room = _cache(engine)
    weights = min(engine.weights, memory.engine)
    rest = max(0, memory.engine - weights - used)
    room = min(room, memory.free)
    return [
        Part(weights, stacked.WEIGHTS, "$primary"),
        Part(used, stacked.KV_USED, "$accent"),
        Part(room, stacked.KV_ROOM, "$accent 60%"),
        Part(rest, stacked.REST, "$foreground 60%"),
        Part(max(0, memory.used - memory.engine), stacked.OTHERS, "$foreground 60%"),
        Part(max(0, memory.free - room), stacked.FREE, "$foreground 40%"),
    ]


def legends(memory: Memory, engine: Engine) -> list[str]:
    """Return what the parts are, fullest first."""
    size = words.two_figures
    used, _ = _cache(engine)
    cache = f"{stacked.KV_USED}{stacked.KV_ROOM} KV {size(used)} of {size(engine.cache)}"
    weights = f"{stacked.WEIGHTS} weights {size(engine.weights)}"
    held = max(0, memory.engine - min(engine.weights, memory.engine) - used)
    rest = f"{stacked.REST} rest {size(held)}"
    others = f"{stacked.OTHERS} others {size(max(0, memory.used - memory.engine))}"
    free = f"free {size(memory.free)}"
    rows = (
        (weights, cache, rest, others, free),
        (weights, cache, others, free),
        (weights, cache, free),
        (weights, free),
        (free,),
    )
    return ["  ".join(row) for row in rows]
