"""The engines to compare: Sterna's own, and others through their `llama-bench`.

Each run is a process of its own that loads the model, warms up, and times one prompt and one answer.
"""

import json
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol


class BenchError(Exception):
    """A run that gave no figures; its text says which and why."""


@dataclass(frozen=True, slots=True)
class Work:
    """What to time: a prompt of so many tokens, then an answer, by so many threads.

    With `depth` both come after so many tokens of context.
    """

    prompt: int
    answer: int
    threads: int
    depth: int = 0


@dataclass(frozen=True, slots=True)
class Sample:
    """One run. Tokens a second, 0 where not asked for; `bandwidth` and the rest are Sterna's alone."""

    prefill: float
    decode: float
    note: str
    bandwidth: float = 0.0
    bytes_per_token: int = 0
    peak_rss: int = 0
    attention: float = 0.0  # its share of the time of decoding


class Engine(Protocol):
    """Something that runs a model file."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def model(self) -> Path:
        """The file that it runs."""
        ...

    def run(self, work: Work) -> Sample:
        """Load the model and time the work once; raises BenchError."""
        ...


def _output(name: str, command: list[str]) -> Any:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        said = [line for line in done.stderr.splitlines() if line.strip()]
        why = said[-1] if said else f"exit status {done.returncode}"
        raise BenchError(f"{name}: {why}")
    try:
        return json.loads(done.stdout)
    except ValueError as error:
        raise BenchError(f"{name}: its output is no JSON") from error


@dataclass(frozen=True, slots=True)
class Ours:
    """Sterna's engine, by the function behind `sterna bench`."""

    model: Path
    name: str = "Sterna"

    def run(self, work: Work) -> Sample:
        """Time the work in a child process."""
        numbers = [str(n) for n in (work.prompt, work.answer, work.threads, work.depth)]
        found = _output(self.name, [sys.executable, "-m", "bench.ours", str(self.model), *numbers])
        return Sample(**found)


@dataclass(frozen=True, slots=True)
class Peer:
    """Another engine, by its llama-bench and the options to give it."""

    name: str
    model: Path
    command: tuple[str, ...]

    def run(self, work: Work) -> Sample:
        """Time the work by llama-bench, one repetition after its own warm-up."""
        numbers = ["-p", work.prompt, "-n", work.answer, "-t", work.threads, "-r", 1, "-o", "json"]
        if work.depth:
            numbers += ["-d", work.depth]
        rows = _output(
            self.name, [*self.command, "-m", str(self.model), *(str(n) for n in numbers)]
        )
        try:
            rates = {bool(row["n_gen"]): float(row["avg_ts"]) for row in rows}
            note = f"{rows[0].get('build_commit', '')} {rows[0]['model_type']}"
        except (KeyError, TypeError, IndexError) as error:
            raise BenchError(f"{self.name}: its output is not that of llama-bench") from error
        return Sample(rates.get(False, 0.0), rates.get(True, 0.0), note.strip())


def parse_peer(text: str, model: Path, models: dict[str, Path]) -> Peer:
    """Read `name=PATH [OPTIONS]`; raises BenchError when there is no such program or file."""
    name, found, rest = text.partition("=")
    command = shlex.split(rest)
    if not found or not name or not command:
        raise BenchError(f"{text}: write name=PATH_TO_llama-bench, options after the path")
    if shutil.which(command[0]) is None:
        raise BenchError(f"{name}: no program at {command[0]}")
    return Peer(name, models.get(name, model), tuple(command))
