"""The computer as the probes see it: small files, folders, commands, and what libraries say.

Probes ask a `Host` and look nowhere else. A `Recorder` keeps every answer, so what
`sterna machine --raw` prints is a test case: `Replay` answers from it. That is how a bug report becomes
a fixture.
"""

import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

MOST_TEXT = 1 << 20  # bytes
_PATIENCE = 5.0  # seconds for a command

# A tree of what JSON has. Probes check what they take from it: it may come from a bug report.
Facts = Any


class Host(Protocol):
    """Where a machine's facts come from. What is not there is None or empty, never an error."""

    def text(self, path: str, most: int = MOST_TEXT) -> str | None:
        """Return the start of a file, `most` bytes, without the white space around it."""

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder."""

    def output(self, *command: str) -> str | None:
        """Return what a command prints, None when it is not there or fails."""

    def ask(self, source: str, read: Callable[[], Facts]) -> Facts:
        """Return what `read` returns, known as `source`; None when it raises."""


class Local:
    """The computer that Sterna runs on."""

    def text(self, path: str, most: int = MOST_TEXT) -> str | None:
        """Return the start of a file."""
        try:
            with Path(path).open("rb") as file:
                return file.read(most).decode("utf-8", "replace").strip()
        except (OSError, ValueError):
            return None

    def names(self, folder: str) -> list[str]:
        """Return the sorted names in a folder."""
        try:
            return sorted(entry.name for entry in Path(folder).iterdir())
        except (OSError, ValueError):
            return []

    def output(self, *command: str) -> str | None:
        """Return what a command prints."""
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                timeout=_PATIENCE,
                check=True,
            )
        except (OSError, subprocess.SubprocessError):
            return None
        return done.stdout[:MOST_TEXT].decode("utf-8", "replace").strip()

    def ask(self, source: str, read: Callable[[], Facts]) -> Facts:
        """Return what a library says. Whatever it raises means that it knows nothing here."""
        try:
            return read()
        except Exception:
            return None


class Recorder:
    """Asks another host and keeps the answers, as JSON has them, in `record`."""

    def __init__(self, host: Host) -> None:
        self._host = host
        self.record: dict[str, dict[str, Any]] = {
            "files": {}, "folders": {}, "commands": {}, "facts": {},
        }  # fmt: skip

    def text(self, path: str, most: int = MOST_TEXT) -> str | None:
        """Return and keep the start of a file."""
        text: str | None = self._keep("files", path, self._host.text(path, most))
        return text

    def names(self, folder: str) -> list[str]:
        """Return and keep the names in a folder."""
        return self._keep("folders", folder, self._host.names(folder)) or []

    def output(self, *command: str) -> str | None:
        """Return and keep what a command prints."""
        said: str | None = self._keep("commands", " ".join(command), self._host.output(*command))
        return said

    def ask(self, source: str, read: Callable[[], Facts]) -> Facts:
        """Return and keep what a library says."""
        return self._keep("facts", source, self._host.ask(source, read))

    def _keep(self, kind: str, name: str, answer: Facts) -> Facts:
        if answer not in (None, []):
            self.record[kind][name] = answer
        return answer


class Replay:
    """A machine from its record: what `Recorder` kept, or what a test wrote in its form."""

    def __init__(self, record: dict[str, dict[str, Any]]) -> None:
        self._files: dict[str, str] = record.get("files", {})
        self._folders: dict[str, list[str]] = record.get("folders", {})
        self._commands: dict[str, str] = record.get("commands", {})
        self._facts: dict[str, Facts] = record.get("facts", {})

    def text(self, path: str, most: int = MOST_TEXT) -> str | None:
        """Return a recorded text."""
        text = self._files.get(path)
        return None if text is None else text[:most].strip()

    def names(self, folder: str) -> list[str]:
        """Return a recorded folder's names; those of recorded files below it count too."""
        head = folder.rstrip("/") + "/"
        below = {path[len(head) :].split("/")[0] for path in self._files if path.startswith(head)}
        return sorted(below | set(self._folders.get(folder, [])))

    def output(self, *command: str) -> str | None:
        """Return a recorded output."""
        return self._commands.get(" ".join(command))

    def ask(self, source: str, read: Callable[[], Facts]) -> Facts:
        """Return a recorded fact; `read` is of the machine that replays, and is not run."""
        return self._facts.get(source)


def whole_number(host: Host, path: str) -> int | None:
    """Return the whole number that a file holds, None when it holds none."""
    text = host.text(path) or ""
    return int(text) if text.isdecimal() and text.isascii() and len(text) < 20 else None
