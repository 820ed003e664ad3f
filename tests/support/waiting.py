"""Waiting for something to become true, without sleeping a guessed time."""

import asyncio
import time
from collections.abc import Callable


async def wait_until(
    condition: Callable[[], object], *, seconds: float = 20, what: str = ""
) -> None:
    """Return once `condition()` is true; fail the test after `seconds`."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        await asyncio.sleep(0.01)


def wait_until_now(condition: Callable[[], object], *, seconds: float = 20, what: str = "") -> None:
    """Do the same without an event loop."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise AssertionError(f"not within {seconds} s: {what or condition}")
        time.sleep(0.01)
