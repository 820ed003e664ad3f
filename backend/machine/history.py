"""How fast models really ran here: a line for each run, by which predictions are replaced and corrected.

A run is known by a key that says nothing here: equal keys cost the same. Lines are added by any process,
whole, and the file is cut when it grows long.
"""

import contextlib
import os
import statistics
from collections.abc import Iterable
from pathlib import Path

import msgspec

from backend import paths

_MOST_BYTES = 1 << 20
_KEPT = 1000  # lines
_RECENT = 8  # runs of a key that count
_FEWEST_ANSWER, _FEWEST_PROMPT = 16, 48  # tokens: shorter ones tell little


class Run(msgspec.Struct, kw_only=True, array_like=True):
    """A run: tokens a second of prompt and answer (0: too short to tell), and where it was.

    `weights`: how many weights of each tensor type a token is multiplied with; `layers`: how many;
    `normalised`, `turned`: values that are, for it; `vocab`: words that one is chosen from.
    `context`: tokens before the answer's middle.
    """

    at: float
    key: str
    cpu: str
    isa: str
    threads: int
    context: int
    prompt: float
    answer: float
    weights: dict[str, float]
    layers: int
    normalised: int = 0
    vocab: int = 0
    turned: int = 0


def rates(prompt: tuple[int, float], answer: tuple[int, float]) -> tuple[float, float]:
    """Return tokens a second from (tokens, seconds) of prompt and answer; 0 for what is too short."""

    def rate(count: int, seconds: float, fewest: int) -> float:
        return count / seconds if count >= fewest and seconds > 0 else 0.0

    return rate(*prompt, _FEWEST_PROMPT), rate(*answer, _FEWEST_ANSWER)


def note(run: Run) -> None:
    """Add a run; failing to is no reason to stop."""
    if not run.prompt and not run.answer:
        return
    line = msgspec.json.encode(run) + b"\n"
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        # one write in append mode: lines of several processes never mix
        descriptor = os.open(_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, line)
            long = os.fstat(descriptor).st_size > _MOST_BYTES
        finally:
            os.close(descriptor)
        if long:
            _cut()


def runs(cpu: str, isa: str, threads: int) -> list[Run]:
    """Return the runs on this processor with these kernels and threads, oldest first."""
    found = []
    with contextlib.suppress(OSError):
        for line in _file().read_bytes().splitlines():
            with contextlib.suppress(msgspec.MsgspecError):  # a line cut by a full disk
                run = msgspec.json.decode(line, type=Run)
                if (run.cpu, run.isa, run.threads) == (cpu, isa, threads):
                    found.append(run)
    return found


def typical(of: Iterable[Run], key: str) -> tuple[float, float, int] | None:
    """Return the medians of prompt and answer over the last runs of a key, and how many answers; None
    where there is no answer among them.
    """
    last = [run for run in of if run.key == key][-_RECENT:]
    answers = [run.answer for run in last if run.answer]
    prompts = [run.prompt for run in last if run.prompt]
    if not answers:
        return None
    return statistics.median(prompts) if prompts else 0.0, statistics.median(answers), len(answers)


def _cut() -> None:
    lines = _file().read_bytes().splitlines(keepends=True)[-_KEPT:]
    fresh = _file().with_suffix(f".{os.getpid()}.tmp")
    fresh.write_bytes(b"".join(lines))
    fresh.replace(_file())


def _file() -> Path:
    return paths.cache_dir() / "runs.jsonl"
