"""The one thread in which a model speaks, and the queue before it.

A model serves one request at a time: two at once would only fight for memory bandwidth and drop each
other's cached prefix. Requests wait in the order of their arrival; when `WAITING` of them wait, further
ones are refused as busy.
"""

import asyncio
import logging
import queue
import threading
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import suppress
from dataclasses import dataclass

from backend.errors import SternaError
from backend.inference.sampling import GenerationReport, Sampling
from backend.serve.engine import Speaker
from backend.serve.logs import log_failure

WAITING = 8
_NUDGE_S = 0.02

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """A further piece of the reply."""

    text: str


@dataclass(frozen=True, slots=True)
class Finish:
    """The end of a generation. `queued_s` is how long it waited for its turn."""

    report: GenerationReport
    queued_s: float


class Job:
    """One request for tokens. Read `events`; closing that iterator cancels the generation."""

    def __init__(
        self, worker: "Worker", ids: Sequence[int], sampling: Sampling, scales: Sequence[float]
    ) -> None:
        self.ids = ids
        self.sampling = sampling
        self.scales = scales
        self.cancelled = threading.Event()
        self._worker = worker
        self._loop = asyncio.get_running_loop()
        self._events: asyncio.Queue[Piece | Finish | SternaError] = asyncio.Queue()
        self._created = time.perf_counter()
        self.queued_s = 0.0

    def cancel(self) -> None:
        """Stop it wherever it is; does nothing once it has ended. From the event loop."""
        self._worker.cancel(self)

    def begin(self) -> None:
        """Note that it is its turn (called by the worker)."""
        self.queued_s = time.perf_counter() - self._created

    def put(self, event: Piece | Finish | SternaError) -> None:
        """Hand an event to the reader (called by the worker)."""
        with suppress(RuntimeError):  # the loop is closed: nobody reads any more
            self._loop.call_soon_threadsafe(self._events.put_nowait, event)

    async def events(self, silence_s: float) -> AsyncGenerator[Piece | Finish | None, None]:
        """Yield what comes, one last `Finish`; None after each `silence_s` seconds of nothing.

        Text that came meanwhile is joined. Raises SternaError when the generation failed.
        """
        try:
            while True:
                try:
                    # Not wait_for: before Python 3.12 it loses a cancellation that comes with an event.
                    async with asyncio.timeout(silence_s):
                        event = await self._events.get()
                except TimeoutError:
                    yield None
                    continue
                text = ""
                while isinstance(event, Piece):
                    text += event.text
                    if self._events.empty():
                        break
                    event = self._events.get_nowait()
                if text:
                    yield Piece(text)
                if isinstance(event, SternaError):
                    raise event
                if isinstance(event, Finish):
                    yield event
                    return
        finally:
            self.cancel()


class Worker:
    """Runs jobs one after another in its thread."""

    def __init__(self, speaker: Speaker, waiting: int = WAITING) -> None:
        self._speaker = speaker
        self._limit = waiting
        self._lock = threading.Lock()
        self._jobs: list[Job] = []  # all that are not finished, the running one included
        self._current: Job | None = None
        self._queue: queue.SimpleQueue[Job | None] = queue.SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="sterna-engine", daemon=True)
        self._thread.start()

    @property
    def load(self) -> int:
        """How many requests run or wait."""
        with self._lock:
            return self._unfinished()

    def submit(self, ids: Sequence[int], sampling: Sampling, scales: Sequence[float] = ()) -> Job:
        """Queue a request; `scales`: of the loaded adapters, one each, where there are any.

        Raises SternaError `busy` when too many wait already.
        """
        with self._lock:
            if self._closed:
                raise SternaError("busy", "The engine is stopping.", "Start it again.")
            if self._unfinished() > self._limit:
                raise SternaError(
                    "busy",
                    f"{self._limit} requests are waiting for this model already.",
                    "Try again in a moment.",
                )
            job = Job(self, ids, sampling, scales)
            self._jobs.append(job)
        self._queue.put(job)
        return job

    def cancel(self, job: Job) -> None:
        """Stop a job wherever it is; does nothing to one that has ended. From the event loop."""
        job.cancelled.set()
        if self._interrupt(job):
            # A cancel that comes just before the engine starts is lost on it, so it is repeated.
            with suppress(RuntimeError):
                asyncio.get_running_loop().call_later(_NUDGE_S, self.cancel, job)

    def cancel_all(self) -> None:
        """Cancel every request, running or waiting. From the event loop."""
        with self._lock:
            jobs = list(self._jobs)
        for job in jobs:
            self.cancel(job)

    def close(self, seconds: float = 5.0) -> None:
        """Cancel everything and end the thread; blocks until it has, at most `seconds`."""
        with self._lock:
            self._closed = True
            jobs = list(self._jobs)
        for job in jobs:
            job.cancelled.set()
        self._queue.put(None)
        end = time.monotonic() + seconds
        while self._thread.is_alive() and time.monotonic() < end:
            for job in jobs:
                self._interrupt(job)
            self._thread.join(_NUDGE_S)

    def _unfinished(self) -> int:
        # Who left the queue takes no place in it, although it is passed over only when its turn comes.
        return sum(job is self._current or not job.cancelled.is_set() for job in self._jobs)

    def _interrupt(self, job: Job) -> bool:
        with self._lock:  # so that the engine cannot have gone on to another job meanwhile
            if self._current is job:
                self._speaker.cancel()
            return job in self._jobs and self._current is job

    def _run(self) -> None:
        while (job := self._queue.get()) is not None:
            job.begin()
            with self._lock:
                self._current = job
            ending = self._speak(job)
            if isinstance(ending, Finish):
                _note(ending)
            with self._lock:
                self._current = None
                self._jobs.remove(job)
            job.put(ending)

    def _speak(self, job: Job) -> Finish | SternaError:
        if job.cancelled.is_set():
            return Finish(_nothing(len(job.ids)), job.queued_s)
        try:
            return self._generate(job)
        except SternaError as error:
            return error
        except MemoryError:
            return SternaError(
                "out_of_memory",
                "The memory ran out while answering.",
                "Close other programs, or load the model with a shorter context.",
            )
        except Exception as error:  # whatever it is, the next request must find a living server
            log_failure(_log, "A generation failed", error)
            return SternaError(
                "internal", "The engine failed on this request.", "Its log tells where."
            )

    def _generate(self, job: Job) -> Finish:
        if job.scales:
            self._speaker.weigh_adapters(job.scales)
        stream = self._speaker.stream(job.ids, job.sampling)
        try:
            for token in stream:
                if job.cancelled.is_set():
                    break
                if token.text:
                    job.put(Piece(token.text))
        finally:
            close = getattr(stream, "close", None)
            if close is not None:
                close()
        return Finish(self._speaker.last or _nothing(len(job.ids)), job.queued_s)


def _nothing(prompt_tokens: int) -> GenerationReport:
    return GenerationReport(
        prompt_tokens=prompt_tokens,
        cached_tokens=0,
        completion_tokens=0,
        finish_reason="cancelled",
        prompt_seconds=0.0,
        decode_seconds=0.0,
        seed=0,
    )


def _note(finish: Finish) -> None:
    report = finish.report
    _log.info(
        "answered: prompt %d (%d cached), reply %d tokens, %s, queued %.3f s, prompt %.3f s, reply %.3f s",
        report.prompt_tokens,
        report.cached_tokens,
        report.completion_tokens,
        report.finish_reason,
        finish.queued_s,
        report.prompt_seconds,
        report.decode_seconds,
    )
