"""Waiting for what an app will show, without sleeping a guessed time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from textual.pilot import Pilot


async def wait_until(
    pilot: Pilot[None], predicate: Callable[[], object], *, seconds: float = 20, what: str = ""
) -> None:
    """Let the app work until `predicate` holds; fail when it does not within `seconds`."""
    deadline = time.monotonic() + seconds
    while True:
        await pilot.pause()
        if predicate():
            return
        assert time.monotonic() < deadline, f"not within {seconds} s: {what or predicate}"
        await asyncio.sleep(0.01)
