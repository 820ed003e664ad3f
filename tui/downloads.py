"""Keeps the downloads of the app: reads the queue, and has a child process that works through it.

Everything is in the table, so what another Sterna or `sterna pull` does is seen here as well, and what
this one leaves is gone on with at the next start.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from backend.errors import SternaError
from tui.queue_messages import DownloadsChanged
from tui.state import Downloads

if TYPE_CHECKING:
    from textual.message import Message

    from backend.hub.order import Order
    from backend.hub.queue import Item, Queue

BUSY, IDLE = 0.5, 5.0  # seconds between two looks at the queue
RESTART = 5.0  # seconds between two starts of a child that ends too soon
POLITE = 5.0  # seconds that a child has to end

VERBS: dict[str, Callable[[Queue, int], object]] = {
    "pause": lambda queue, item: queue.pause(item),
    "resume": lambda queue, item: queue.resume(item),
    "cancel": lambda queue, item: queue.cancel(item),
    "remove": lambda queue, item: queue.remove(item),
    "up": lambda queue, item: queue.move(item, down=False),
    "down": lambda queue, item: queue.move(item, down=True),
}


class DownloadKeeper:
    """One child at most. `post` receives `DownloadsChanged`."""

    def __init__(self, post: Callable[[Message], object], open_queue: Callable[[], Queue]) -> None:
        self._post = post
        self._open = open_queue
        self._queue: Queue | None = None
        self._child: asyncio.subprocess.Process | None = None
        self._started = -RESTART
        self._task: asyncio.Task[None] | None = None
        self._look = asyncio.Event()
        self._told = Downloads()

    def start(self) -> None:
        """Look at the queue from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def close(self) -> None:
        """End the child; what it was fetching stays queued."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
        child, self._child = self._child, None
        if child is None or child.returncode is not None:
            return
        assert child.stdin is not None
        child.stdin.close()
        try:
            await asyncio.wait_for(child.wait(), POLITE)
        except TimeoutError:
            child.kill()
            await child.wait()

    async def add(self, order: Order) -> None:
        """Put an order into the queue. Raises SternaError."""
        queue = await self._opened()
        await asyncio.to_thread(queue.add, order)
        self._look.set()

    async def wish(self, verb: str, item_id: int) -> None:
        """Do one of `VERBS` with a download. Raises SternaError."""
        queue = await self._opened()
        await asyncio.to_thread(VERBS[verb], queue, item_id)
        self._look.set()

    async def _opened(self) -> Queue:
        if self._queue is None:
            self._queue = await asyncio.to_thread(self._open)
        return self._queue

    async def _run(self) -> None:
        while True:
            self._look.clear()
            try:
                queue = await self._opened()
                items = tuple(await asyncio.to_thread(_looked, queue))
                self._tell(Downloads(items))
                if any(item.state == "queued" for item in items):
                    await self._have_child()
            except SternaError as error:
                self._tell(Downloads(self._told.items, error))
            except OSError as error:
                logging.exception("downloads cannot be started")
                told = SternaError("internal", f"Downloads cannot be started: {error}.")
                self._tell(Downloads(self._told.items, told))
            with contextlib.suppress(TimeoutError):
                pause = BUSY if self._told.waiting else IDLE
                await asyncio.wait_for(self._look.wait(), pause)

    def _tell(self, downloads: Downloads) -> None:
        if downloads != self._told:
            self._told = downloads
            self._post(DownloadsChanged(downloads))

    async def _have_child(self) -> None:
        """Start the child unless it lives, or has just been started in vain."""
        if self._child is not None and self._child.returncode is None:
            return
        if time.monotonic() - self._started < RESTART:
            return
        self._started = time.monotonic()
        self._child = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "backend.hub"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
        )


def _looked(queue: Queue) -> list[Item]:
    """Return everything; what a process that died was fetching is queued again."""
    queue.waiting()
    return queue.items()
