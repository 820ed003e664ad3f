"""Asking what data is before the start: the process of `backend.train.look`, and its answer."""

import contextlib
import json
import subprocess
import sys
from typing import Any

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.estimate import Sequences
from backend.train.recipe import Recipe
from backend.train.run import child

ENOUGH = 2000  # rows that an estimate looks at


class Look:
    """A look that is being taken. `stop` may be called from another thread."""

    def __init__(self, recipe: Recipe, rows: int, limit: int | None) -> None:
        command = [sys.executable, "-P", "-m", "backend.train.look", "--rows", str(rows)]
        if limit is not None:
            command += ["--limit", str(limit)]
        self._asked = json.dumps(recipes.as_dict(recipe))
        try:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                env=child.environment(),
            )
        except OSError as error:
            raise SternaError(
                "internal", f"The data could not be looked at: {error.strerror}.", "Try again."
            ) from error

    def stop(self) -> None:
        """End it: nobody waits for its answer any more."""
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()

    def answer(self) -> dict[str, Any]:
        """Wait for the preview (see `backend.train.data.preview`). Raises SternaError."""
        out, noted = self._process.communicate(self._asked)
        try:
            answer: dict[str, Any] = json.loads(out.splitlines()[-1])
        except (ValueError, IndexError):
            raise SternaError(
                "internal", "The data could not be looked at.", noted.strip()[-300:]
            ) from None
        if "error" in answer:
            raise SternaError(**answer["error"])
        return answer


def look(recipe: Recipe, rows: int, limit: int | None) -> dict[str, Any]:
    """Take a look and wait for it. Raises SternaError."""
    return Look(recipe, rows, limit).answer()


def sequences(seen: dict[str, Any]) -> Sequences:
    """Return what an estimate needs of a preview; where it saw a part, the whole is reckoned."""
    count = max(1, round(seen["train"] * seen["rows_total"] / max(1, seen["rows"])))
    return Sequences(count, seen["longest"], seen["tokens"] / max(1, seen["samples_made"]))
