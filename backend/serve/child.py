"""The engine as a child process: what it does cannot hurt the screen, and stop means stop."""

import asyncio
import os
import secrets
import sys
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from backend import paths
from backend.errors import SternaError
from backend.serve import deaths, report
from backend.text import clean

POLITE_S = 2.0  # between asking to stop and force
_END_S = 1.0  # a connection breaks a moment before its process is gone
_LOG_BYTES = 2_000_000


@dataclass(frozen=True, slots=True)
class Phase:
    """A step of starting up: `name` is starting, loading or ready; `text` says it to people."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class ExitInfo:
    """How an engine ended: its exit `code`, or the `signal` that killed it.

    `error` is None when it was asked to end, else what to tell the user.
    """

    code: int | None
    signal: int | None
    error: SternaError | None


class EngineProcess:
    """A running engine. `address` is what `ChatClient` takes (unix:… or http://127.0.0.1:port).

    `context` is its context in tokens; `load_seconds` what loading took; `pid` its process; `log_file`
    where its output goes; `facts` what else it told (quant, threads, isa). Use as an async context
    manager, or call `stop`.
    """

    def __init__(self, model: Path) -> None:
        self.model = model
        self.address = ""
        self.context = 0
        self.load_seconds = 0.0
        self.pid = 0
        self.log_file = paths.log_dir() / "engine-output.log"
        self.facts: dict[str, Any] = {}
        try:
            folder = paths.runtime_dir()
        except OSError as error:
            raise SternaError(
                "read_only",
                f"No folder for the engine's socket: {error.strerror or error}.",
                "Set STERNA_HOME to a folder that can be written.",
            ) from error
        self._socket = folder / f"{os.getpid()}-{secrets.token_hex(4)}.sock"
        self._stopping = False
        self._said: SternaError | None = None
        self._before = deaths.Evidence()
        self._process: asyncio.subprocess.Process | None = None
        self._pipe: asyncio.ReadTransport | None = None
        self._ended: asyncio.Task[ExitInfo] | None = None

    @classmethod
    async def start(
        cls,
        model: Path,
        *,
        context: int | None = None,
        kv: str | None = None,
        threads: int | None = None,
        adapters: Sequence[str] = (),
        on_phase: Callable[[Phase], None] | None = None,
    ) -> "EngineProcess":
        """Start an engine and return once it answers; `adapters` are LoRA adapters, `FILE[:SCALE]` each.

        `on_phase` is called from the event loop. Raises SternaError with the child's own reason
        (not_gguf, unsupported_arch, out_of_memory, …) or engine_crashed. Cancelling the call kills
        the child.
        """
        engine = cls(model)
        options = {"--context": context, "--kv": kv, "--threads": threads}
        given = [
            word
            for name, value in options.items()
            if value is not None
            for word in (name, str(value))
        ]
        given += [word for adapter in adapters for word in ("--adapter", adapter)]
        try:
            await engine._start(given, on_phase or (lambda _: None))
        except BaseException:
            await engine.stop()
            raise
        return engine

    @property
    def running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.returncode is None

    async def wait(self) -> ExitInfo:
        """Return how it ended, once it has; may be called by several tasks."""
        if self._ended is None:
            return ExitInfo(None, None, None)
        return await asyncio.shield(self._ended)

    async def explain(self, error: SternaError) -> SternaError:
        """Return why a request failed: the engine's own end, if `error` came of that."""
        if error.kind != "engine_unreachable":
            return error
        try:
            async with asyncio.timeout(_END_S):
                ended = await self.wait()
        except TimeoutError:
            return error
        return ended.error or error

    async def stop(self) -> None:
        """End it now: politely, then by force within two seconds. Quick, and safe to call twice."""
        self._stopping = True
        if self._process is not None and self._ended is not None:
            with suppress(ProcessLookupError):
                self._process.terminate()
            try:
                async with asyncio.timeout(POLITE_S):
                    await asyncio.shield(self._ended)
            except (TimeoutError, asyncio.CancelledError):
                with suppress(ProcessLookupError):
                    self._process.kill()
                await self._ended
        self._socket.unlink(missing_ok=True)
        if self._pipe is not None:
            self._pipe.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # --- inside --------------------------------------------------------------------------------

    async def _start(self, options: list[str], on_phase: Callable[[Phase], None]) -> None:
        reading, writing = os.pipe()
        try:
            events = await self._listen(reading)
            with _output(self.log_file) as output:
                self._before = deaths.Evidence.now()
                # -P: a folder named `backend` where the user happens to stand is not ours.
                self._process = await asyncio.create_subprocess_exec(
                    *(sys.executable, "-P", "-m", "backend.serve", os.fspath(self.model)),
                    *("--socket", os.fspath(self._socket), "--report-fd", str(writing)),
                    *("--log-file", os.fspath(self.log_file), *options),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=(writing,),
                    start_new_session=True,  # ctrl+c in the terminal is for the app to handle
                )
        except OSError as error:
            raise SternaError(
                "engine_crashed", f"The engine could not be started: {error}.", "Try again."
            ) from error
        finally:
            os.close(writing)
        self.pid = self._process.pid
        self._ended = asyncio.create_task(self._watch(self._process))
        await self._until_ready(events, on_phase)

    async def _listen(self, descriptor: int) -> asyncio.StreamReader:
        reader = asyncio.StreamReader()
        self._pipe, _ = await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(descriptor, "rb", 0)
        )
        return reader

    async def _until_ready(
        self, events: asyncio.StreamReader, on_phase: Callable[[Phase], None]
    ) -> None:
        while line := await events.readline():
            event = report.read(line)
            if event is None:
                continue
            if event["event"] == "phase":
                on_phase(Phase(clean(str(event["name"])), clean(str(event["text"]))))
            elif event["event"] == "error":
                self._said = SternaError(event["kind"], event["message"], event["hint"])
            elif event["event"] == "ready":
                self.address = event.pop("address")
                self.context = event.pop("context")
                self.load_seconds = event.pop("load_seconds")
                self.facts = {name: value for name, value in event.items() if name != "event"}
                on_phase(Phase("ready", "ready"))
                return
        ended = await self.wait()
        raise (
            self._said
            or ended.error
            or SternaError("engine_crashed", "The engine was stopped.", "")
        )

    async def _watch(self, process: asyncio.subprocess.Process) -> ExitInfo:
        code = await process.wait()
        self._socket.unlink(missing_ok=True)  # a child that was killed leaves it behind
        error = None if self._stopping else deaths.explain(code, self._before, self.log_file)
        return ExitInfo(code if code >= 0 else None, -code if code < 0 else None, error)


@contextmanager
def _output(log_file: Path) -> Generator[IO[bytes] | int, None, None]:
    """Open where the child's output goes, emptied when it has grown large."""
    try:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        large = log_file.exists() and log_file.stat().st_size > _LOG_BYTES
        output = log_file.open("wb" if large else "ab")
    except OSError:
        yield asyncio.subprocess.DEVNULL
        return
    with output:
        yield output
