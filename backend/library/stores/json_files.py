"""Small JSON files of other programs: missing, half-written or hostile ones are empty."""

import json
from pathlib import Path
from typing import Any

_MOST = 1 << 20  # bytes


def read_object(path: Path) -> dict[str, Any]:
    """Return the object in a file, empty when there is none."""
    try:
        with path.open("rb") as file:
            content = file.read(_MOST + 1)
        data = json.loads(content) if len(content) <= _MOST else None
    except (OSError, ValueError, RecursionError):
        return {}
    return data if isinstance(data, dict) else {}
