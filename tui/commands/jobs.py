"""Long jobs on the command line: a line of progress, and an end that leaves nothing half done."""

import contextlib
import signal
import sys
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from dataclasses import asdict
from types import FrameType
from typing import TypeVar

from backend.gguf.quantising import Made
from backend.progress import Progress, Report, in_words
from backend.units import human_bytes
from tui.commands import output

Result = TypeVar("Result")


def add_arguments(parser: ArgumentParser) -> None:
    """Take how to tell of progress."""
    parser.add_argument(
        "--events", action="store_true", help="progress and result as JSON lines, for programs"
    )


@contextlib.contextmanager
def job(args: Namespace) -> Iterator[Report]:
    """Run a long job: gives what it reports to. Asking the process to end is an interrupt to it."""
    teller = _Events() if args.events else _Line() if sys.stderr.isatty() else _Tenths()
    with _ended_by_request():
        try:
            yield teller.tell
        finally:
            teller.end()


def finish(args: Namespace, result: dict[str, object], text: str) -> None:
    """Write the result of a job."""
    if args.events:
        output.json_line({"event": "done", **result})
    else:
        output.emit(args, result, text)


def stoppable(work: Callable[[], Result], cancel: Callable[[], None]) -> Result:
    """Run work that holds the processor for long in a thread, so that Ctrl-C reaches it by `cancel`."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            return future.result()
        except KeyboardInterrupt:
            while not future.done():  # a stop between two runs of a model is forgotten by the next
                cancel()
                wait([future], timeout=0.05)
            raise


class _Line:
    """One line that is written over and over."""

    def __init__(self) -> None:
        self._used = False

    def tell(self, p: Progress) -> None:
        output.status(in_words(p))
        self._used = True

    def end(self) -> None:
        if self._used:
            output.status("")


class _Tenths:
    """A line for every tenth of the way, where lines cannot be written over."""

    def __init__(self) -> None:
        self._next = 0.0

    def tell(self, p: Progress) -> None:
        share = p.done / p.total if p.total else 1
        if share >= self._next:
            output.note(in_words(p).strip())
            self._next = int(share * 10) / 10 + 0.1

    def end(self) -> None:
        pass


class _Events:
    """JSON lines."""

    def tell(self, p: Progress) -> None:
        output.json_line({"event": "progress", **asdict(p)})

    def end(self) -> None:
        pass


@contextlib.contextmanager
def _ended_by_request() -> Iterator[None]:
    """Let SIGTERM end the job as Ctrl-C does, so that files are cleared away."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(_: int, __: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def report_made(args: Namespace, made: Made) -> None:
    """Write what was made, as the contract says it."""
    result: dict[str, object] = {
        "path": str(made.path),
        "bytes": made.bytes,
        "bits_per_weight": made.bits_per_weight,
    }
    rows = [
        ["written", str(made.path)],
        ["size", f"{human_bytes(made.bytes)}, {made.bits_per_weight:.2f} bits a weight"],
    ]
    finish(args, result, output.table(rows))
