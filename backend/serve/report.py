"""What a child engine tells its parent: JSON lines on a pipe. Both ends stand here.

{"event": "phase", "name": "loading", "text": "…"}
{"event": "ready", "address": "unix:…", "model": "…", "context": 4096, "load_seconds": 0.8, …}
{"event": "error", "kind": "not_gguf", "message": "…", "hint": "…"}
"""

import json
import os
from contextlib import suppress
from typing import Any

from backend.errors import SternaError


class Reporter:
    """The child's end. With no descriptor it says nothing."""

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor

    def phase(self, name: str, text: str) -> None:
        """Tell which step of starting up begins."""
        self._write({"event": "phase", "name": name, "text": text})

    def ready(self, **facts: object) -> None:
        """Tell that requests are answered now."""
        self._write({"event": "ready", **facts})

    def error(self, error: SternaError) -> None:
        """Tell why there will be no engine."""
        self._write({"event": "error", **error.as_dict()})

    def _write(self, value: dict[str, object]) -> None:
        if self._descriptor is None:
            return
        with suppress(OSError):  # the parent is gone: the watch on it ends this process
            os.write(self._descriptor, json.dumps(value).encode() + b"\n")


def read(line: bytes) -> dict[str, Any] | None:
    """Return the event of a line, or None for one that is not (a torn line of a dying child)."""
    try:
        value = json.loads(line)
    except ValueError:
        return None
    return value if isinstance(value, dict) and isinstance(value.get("event"), str) else None
