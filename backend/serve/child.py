"""The engine as a child process: what it does cannot hurt the screen, and stop means stop."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from backend.errors import SternaError


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of starting up: `name` is starting, loading or ready; `text` says it to people."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ExitInfo:
    """How an engine ended. `error` is None when it was asked to."""

    code: int | None
    signal: int | None
    error: SternaError | None


class EngineProcess:
    """A running engine. `address` is what `ChatClient` takes (unix:… or http://127.0.0.1:port).

    `context` is its context in tokens; `load_seconds` what loading took; `pid` its process; `log_file`
    where its output goes. Use as an async context manager, or call `stop`.
    """

    model: Path
    address: str
    context: int
    load_seconds: float
    pid: int
    log_file: Path

    @classmethod
    async def start(
        cls,
        model: Path,
        *,
        context: int | None = None,
        kv: str | None = None,
        threads: int | None = None,
        on_phase: Callable[[Phase], None] | None = None,
    ) -> "EngineProcess":
        """Start an engine and return once it answers.

        Raises SternaError with the child's own reason (not_gguf, unsupported_arch, out_of_memory, …) or
        engine_crashed. Cancelling the call kills the child.
        """
        raise NotImplementedError

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        raise NotImplementedError

    async def wait(self) -> ExitInfo:
        """Return how it ended, once it has; may be called by several tasks."""
        raise NotImplementedError

    async def stop(self) -> None:
        """End it now: politely, then by force within two seconds. Quick, and safe to call twice."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()
