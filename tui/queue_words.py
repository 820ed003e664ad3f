"""Downloads in words: one for the mode bar, a line for each."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.text import clean
from backend.units import human_bytes, human_seconds

if TYPE_CHECKING:
    from backend.hub.queue import Item
    from tui.state import Downloads

GLYPHS = {
    "running": "↓",
    "queued": "·",
    "paused": "‖",
    "failed": "✗",
    "cancelled": "–",
    "done": "✓",
}


def brief(downloads: Downloads) -> str:
    """Return e.g. `↓2 37% 4 min`; empty when nothing is waiting."""
    waiting = downloads.waiting
    if not waiting:
        failed = sum(item.state == "failed" for item in downloads.items)
        return f"↓ ✗{failed} failed" if failed else ""
    total, done = sum(item.bytes for item in waiting), sum(item.done for item in waiting)
    speed = sum(item.speed for item in waiting)
    running = [item for item in waiting if item.state == "running"]
    if speed > 0:
        left = human_seconds((total - done) / speed)
    elif running and all(item.still for item in running):
        left = "stalled"
    else:
        left = ""
    return f"↓{len(waiting)} {percent(done, total)}% {left}".rstrip()


def percent(done: int, total: int) -> int:
    """Return whole percents, 100 only when all is there."""
    return 100 * done // total if total else 0


def name(item: Item) -> str:
    """Return model and quant without the owner."""
    return clean(f"{item.order.repo.rpartition('/')[2]} {item.order.quant}".strip())


def state(item: Item) -> str:
    """Return how a download stands, e.g. `37 % of 2.50 GB · 12.1 MB/s · 4 min left`."""
    amount = f"{percent(item.done, item.bytes)} % of {human_bytes(item.bytes)}"
    if item.state == "running":
        return " · ".join([amount, *_going(item)])
    if item.state == "failed" and item.error is not None:
        return clean(f"{amount} · {item.error.message} {item.error.hint}".rstrip())
    return {
        "queued": f"{amount} · waits its turn",
        "paused": f"{amount} · paused",
        "cancelled": f"{amount} · given up; what came is kept",
        "done": f"{human_bytes(item.bytes)}",
    }.get(item.state, amount)


def _going(item: Item) -> list[str]:
    if item.words == "checking":
        return ["checking"]
    if item.still:
        why = f": {clean(item.words)}" if item.words else ""
        return [f"stalled {item.still:.0f} s, retry {item.retries}{why}"]
    parts = [f"{human_bytes(round(item.speed))}/s"] if item.speed else ["starting"]
    if item.seconds_left is not None:
        parts.append(f"{human_seconds(item.seconds_left)} left")
    return parts
