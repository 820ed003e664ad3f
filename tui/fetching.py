"""One download, by the command line in a process of its own: the screen only hears how it goes."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncGenerator
from contextlib import suppress
from typing import Any

from backend.errors import SternaError
from backend.text import clean
from backend.units import human_bytes, human_seconds

_POLITE_S = 3.0  # between asking to stop and force


async def fetch(reference: str) -> AsyncGenerator[dict[str, Any], None]:
    """Yield the events of `sterna pull REFERENCE --json` until it has ended.

    Raises SternaError with its reason. Closing the iterator stops it; what came is kept, and the same
    call goes on there.
    """
    child = await asyncio.create_subprocess_exec(
        *(sys.executable, "-P", "-m", "tui.cli", "pull", reference, "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,
        start_new_session=True,  # ctrl+c in the terminal is for the app to handle
    )
    try:
        assert child.stdout is not None
        async for line in child.stdout:
            event = _read(line)
            if (error := event.get("error")) is not None:
                raise SternaError(error["kind"], error["message"], error["hint"])
            yield event
        await child.wait()
    finally:
        await _end(child)


def _read(line: bytes) -> dict[str, Any]:
    with suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value
    return {}


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is not None:
        return
    with suppress(ProcessLookupError):
        child.terminate()
    try:
        async with asyncio.timeout(_POLITE_S):
            await asyncio.shield(child.wait())
    except (TimeoutError, asyncio.CancelledError):
        with suppress(ProcessLookupError):
            child.kill()


def words(event: dict[str, Any]) -> str:
    """Return how far a download is; empty where an event says nothing of that."""
    kind = event.get("event")
    if kind not in ("progress", "stalled", "checking"):
        return ""
    done, total = event.get("bytes", 0), event.get("total", 0)
    if kind == "stalled":
        return f"nothing for {event['seconds']:.0f} s · {clean(str(event['message']))}"
    parts = [f"{100 * done // total if total else 0} % of {human_bytes(total)}"]
    if kind == "checking":
        parts.append("checking")
    elif event.get("speed"):
        parts.append(f"{human_bytes(event['speed'])}/s")
        if event.get("eta_s") is not None:
            parts.append(f"{human_seconds(event['eta_s'])} left")
    return " · ".join(parts)
