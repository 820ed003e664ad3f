"""The events of a run: appended by the process that trains, read by anyone, also while it runs.

Each line is a JSON object with `event` (phase, step, eval, sample, checkpoint, warning, error, done,
stopped) and `time`, seconds since 1970. A line is written by one call, so a reader never sees two mixed;
one that was cut short by a full disk or a kill is passed over.
"""

import contextlib
import json
import math
import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Event = dict[str, Any]

_LINE = 1 << 20  # bytes of a line that are believed


class EventLog:
    """Writes events. A disk that is full loses events and stops nothing."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._broken = self._ends_mid_line()

    def add(self, event: str, **values: Any) -> None:
        """Append an event."""
        known = {k: _plain(v) for k, v in values.items()}
        line = json.dumps({"event": event, "time": time.time(), **known}, ensure_ascii=False)
        data = (b"\n" if self._broken else b"") + line.encode("utf-8", "replace") + b"\n"
        with contextlib.suppress(OSError):
            file = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
            try:
                self._broken = os.write(file, data) < len(data)
            finally:
                os.close(file)

    def _ends_mid_line(self) -> bool:
        try:
            with self._path.open("rb") as file:
                file.seek(-1, os.SEEK_END)
                return file.read(1) != b"\n"
        except OSError:
            return False


class EventTail:
    """Reads events as they come. `read` returns those that were added since the last call."""

    def __init__(self, path: Path, offset: int = 0) -> None:
        self._path = path
        self.offset = offset  # bytes read

    def read(self) -> list[Event]:
        """Return the new events."""
        try:
            with self._path.open("rb") as file:
                file.seek(self.offset)
                data = file.read()
        except OSError:
            return []
        whole, newline, _ = data.rpartition(b"\n")
        self.offset += len(whole) + len(newline)
        return list(_events(whole.split(b"\n")))


def read_all(path: Path) -> list[Event]:
    """Return every event of a run."""
    return EventTail(path).read()


def _events(lines: list[bytes]) -> Iterator[Event]:
    for line in lines:
        if not line.strip() or len(line) > _LINE:
            continue
        try:
            event = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(event, dict) and isinstance(event.get("event"), str):
            yield event


def _plain(value: Any) -> Any:
    """JSON knows neither NaN nor infinity."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
