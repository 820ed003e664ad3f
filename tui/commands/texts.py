"""Texts that are given to a verb by name."""

import sys
from pathlib import Path

from backend.errors import SternaError


def read(name: str) -> str:
    """Return the text of a file, or of standard input; raises SternaError."""
    try:
        data = sys.stdin.buffer.read() if name == "-" else Path(name).expanduser().read_bytes()
        return data.decode("utf-8-sig")
    except OSError as error:
        raise SternaError(
            "not_found", f"{name} cannot be read: {error.strerror}.", "Check the path."
        ) from None
    except UnicodeDecodeError:
        raise SternaError(
            "bad_text", f"{name} is no UTF-8 text.", "Give a plain text file, saved as UTF-8."
        ) from None
