"""The only place of the command line that writes to standard output and error."""

import json
import shutil
import sys
import time
from argparse import Namespace
from typing import Any

from backend import units
from backend.errors import SternaError
from backend.text import clean


def emit(args: Namespace, data: Any, text: str) -> None:
    """Write a result: `data` as JSON with --json, otherwise `text` for people."""
    json_line(data) if args.json else line(text)


def json_line(data: Any) -> None:
    """Write `data` as one line of JSON.

    It is plain ASCII, so that a path of any bytes comes out of a parser as it is on disk.
    """
    line(json.dumps(data))


def line(text: str) -> None:
    """Write cleaned lines."""
    sys.stdout.write(clean(text, newlines=True) + "\n")
    sys.stdout.flush()


def piece(text: str) -> None:
    """Write a piece of streamed text, cleaned already."""
    sys.stdout.write(text)
    sys.stdout.flush()


def note(text: str) -> None:
    """Write a remark that is no result."""
    sys.stderr.write(clean(text) + "\n")
    sys.stderr.flush()


def status(text: str) -> None:
    """Put a line over the last one of this kind on standard error; an empty one takes it away."""
    width = shutil.get_terminal_size().columns - 1
    sys.stderr.write(f"\r{clean(text)[:width]}\x1b[K")
    sys.stderr.flush()


def fail(error: SternaError, as_json: bool) -> None:
    """Write an error: one line with its hint, or the contract's JSON."""
    if as_json:
        line(json.dumps({"error": error.as_dict()}, ensure_ascii=False))
    note(f"sterna: {error.message} {error.hint}".rstrip())


def ago(when: float | None) -> str:
    """Return how long ago something was, for a table."""
    return "–" if when is None else units.ago(when, time.time())


def table(rows: list[list[str]], right: frozenset[int] = frozenset()) -> str:
    """Align rows in columns; the columns in `right` are set flush right."""
    cells = [[clean(cell) for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = []
    for row in cells:
        parts = [
            c.rjust(w) if i in right else c.ljust(w)
            for i, (c, w) in enumerate(zip(row, widths, strict=True))
        ]
        lines.append("  ".join(parts).rstrip())
    return "\n".join(lines)
