"""One download in the foreground: `sterna pull`. It stands in the queue like any other."""

import threading
from collections.abc import Callable

from backend.database import Database
from backend.errors import SternaError
from backend.hub.download import Event
from backend.hub.order import Order
from backend.hub.queue import Item, Queue
from backend.hub.transfer import Means
from backend.hub.worker import Worker
from backend.processes import lives

_LOOK_S = 0.25


def open_queue() -> Queue:
    """Return the queue; one that is not kept where the disk cannot be written."""
    try:
        return Queue(Database.open())
    except SternaError:
        return Queue(Database.in_memory())


def pull(
    order: Order,
    queue: Queue,
    means: Means,
    stop: threading.Event,
    tell: Callable[[Event], None],
) -> None:
    """Fetch an order, or follow the process that does so already; return when it has ended.

    The last event is `done`, `error` or `stopped`; set `stop` from any thread, and it is paused.
    """
    item = queue.add(order)
    last: list[Event] = []

    def told(item_id: int, event: Event) -> None:
        if item_id == item.id:
            last[:] = [event]
            tell(event)

    while not stop.is_set():
        Worker(queue, means, only=item.id, tell=told).run(stop)
        if last and last[0]["event"] in ("done", "error"):
            return
        now = queue.get(item.id)
        if now is None or now.state not in ("queued", "running"):
            tell(_end(now))
            return
        if now.state == "running" and lives(now.owner):
            _follow(now, queue, stop, tell)
    queue.pause(item.id)
    if not last or last[0]["event"] != "stopped":
        tell({"event": "stopped"})


def _follow(item: Item, queue: Queue, stop: threading.Event, tell: Callable[[Event], None]) -> None:
    """Tell how another process gets on with it, until that changes."""
    now: Item | None = item
    while now is not None and now.state == "running" and lives(now.owner):
        if now.still:
            tell(
                {
                    "event": "stalled",
                    "seconds": now.still,
                    "retry": now.retries,
                    "message": now.words,
                }
            )
        else:
            left = now.seconds_left
            tell(
                {
                    "event": "progress",
                    "bytes": now.done,
                    "total": now.bytes,
                    "speed": round(now.speed),
                    "eta_s": None if left is None else round(left, 1),
                }
            )
        if stop.wait(_LOOK_S):
            return
        now = queue.get(item.id)


def _end(item: Item | None) -> Event:
    """Return the event that a row's state stands for."""
    if item is not None and item.state == "done":
        return {
            "event": "done",
            "path": item.path,
            "bytes": item.bytes,
            "sha256": item.sha256,
            "repo": item.order.repo,
            "quant": item.order.quant,
        }
    if item is not None and item.error is not None:
        return {"event": "error", **item.error.as_dict()}
    return {"event": "stopped"}
