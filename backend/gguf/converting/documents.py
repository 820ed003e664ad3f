"""JSON files of a checkpoint, with access by type: they come from outside and may hold anything."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from backend.errors import SternaError

_MAX = 256 << 20  # bytes; tokenizers of large vocabularies have tens of megabytes
_GREATEST = 1 << 30


def bad_checkpoint(what: str) -> SternaError:
    """Return the error for a checkpoint that cannot be what it says."""
    return SternaError(
        "bad_checkpoint",
        f"This checkpoint cannot be converted: {what}.",
        "Download it again; all of config.json, the tokenizer and the .safetensors files are needed.",
    )


def read_json(path: Path) -> dict[str, Any]:
    """Return the object in a file; raises SternaError."""
    try:
        if path.stat().st_size > _MAX:
            raise bad_checkpoint(f"{path.name} is too large")
        data = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise bad_checkpoint(f"it has no {path.name}") from None
    except OSError as error:
        raise bad_checkpoint(f"{path.name} cannot be read ({error.strerror})") from None
    except (ValueError, RecursionError):
        raise bad_checkpoint(f"{path.name} is no JSON") from None
    if not isinstance(data, dict):
        raise bad_checkpoint(f"{path.name} holds no object")
    return data


def read_optional(path: Path) -> dict[str, Any]:
    """Return the object in a file that need not be there."""
    return read_json(path) if path.is_file() else {}


class Config:
    """Numbers and words of config.json. Null and absent are the same."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.values = values

    def part(self, key: str) -> "Config":
        """Return an object inside; an empty one where there is none."""
        value = self.values.get(key)
        return Config(value if isinstance(value, dict) else {})

    def has(self, key: str) -> bool:
        """Return whether something is said under `key`."""
        return self.values.get(key) is not None

    def integer(self, key: str, default: int | None = None, *, least: int = 0) -> int:
        """Return a whole number of at least `least`; raises SternaError where it is missing or odd."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= _GREATEST:
            raise bad_checkpoint(f"{key} is {_shown(value)} in its config")
        return value

    def number(self, key: str, default: float | None = None) -> float:
        """Return a number; raises SternaError where it is missing or odd."""
        value = self.values.get(key)
        if value is None and default is not None:
            return default
        if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < 1e30:
            raise bad_checkpoint(f"{key} is {_shown(value)} in its config")
        return float(value)

    def string(self, key: str, default: str = "") -> str:
        """Return a word."""
        value = self.values.get(key)
        return value if isinstance(value, str) else default

    def strings(self, key: str) -> list[str]:
        """Return a list of words, empty where there is none."""
        value = self.values.get(key)
        return [item for item in value if isinstance(item, str)] if isinstance(value, list) else []

    def numbers(self, key: str) -> list[float]:
        """Return a list of numbers, empty where there is none."""
        value = self.values.get(key)
        if not isinstance(value, list):
            return []
        if not all(isinstance(x, int | float) and abs(x) < 1e30 for x in value):
            raise bad_checkpoint(f"{key} is no list of numbers in its config")
        return [float(x) for x in value]

    def flag(self, key: str, default: bool = False) -> bool:
        """Return a yes or no."""
        value = self.values.get(key)
        return value if isinstance(value, bool) else default


def _shown(value: Any) -> str:
    text = "missing" if value is None else repr(value)
    return text if len(text) < 60 else text[:59] + "…"
