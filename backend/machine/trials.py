"""Short trials of the engine's kernels, in rounds, so that each figure comes from several moments.

Memory and processor are shared with other programs, on rented machines with other people's: a figure
of one moment may be far from the usual. So every program is run for a moment, round after round, and
its typical time is the median over the rounds.
"""

import statistics
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from backend.machine.trial_programs import Program
from ext.engine import Engine

_FEWEST = 2  # runs a round, and rounds
_PATIENCE = 3.0  # seconds


@dataclass(eq=False)
class Trial:
    """A program that is timed: `tokens` at once from position `first` on, `logits` or none of them."""

    program: Program
    tokens: int = 1
    first: int = 0
    logits: bool = False
    _rounds: list[float] = field(default_factory=list)  # seconds of a run, the median of each
    _kinds: dict[str, float] = field(default_factory=dict)  # seconds in all runs, by kind of step

    @property
    def seconds(self) -> float:
        """The seconds that a run takes."""
        return statistics.median(self._rounds)

    @property
    def spread(self) -> float:
        """How far the rounds lie from that, half of them within, as a share."""
        middle = self.seconds
        return statistics.median(abs(r - middle) for r in self._rounds) / middle

    def seconds_of(self, *kinds: str) -> float:
        """Return the seconds of a run that these kinds of step take."""
        every = sum(self._kinds.values())
        return self.seconds * sum(self._kinds[kind] for kind in kinds) / every

    def round(self, at_least: float) -> None:
        """Run for so many seconds at least."""
        engine, ids = self.program.engine, np.zeros(self.tokens, np.int32)
        ends = 0 if self.logits else self.tokens
        engine.run(ids, self.first, ends)  # the first run wakes the threads and touches the pages
        took: list[float] = []
        spent, began = engine.seconds(), time.perf_counter()
        while len(took) < _FEWEST or time.perf_counter() - began < at_least:
            start = time.perf_counter()
            engine.run(ids, self.first, ends)
            took.append(time.perf_counter() - start)
        self._rounds.append(statistics.median(took))
        self._note_kinds(engine, spent)

    def _note_kinds(self, engine: Engine, before: dict[str, float]) -> None:
        for kind, seconds in engine.seconds().items():
            self._kinds[kind] = self._kinds.get(kind, 0.0) + seconds - before[kind]


def run(trials: Sequence[Trial], rounds: int, at_least: float) -> None:
    """Run all of them `rounds` times in turn, each for `at_least` seconds a round.

    Where others keep the machine busy, fewer rounds have to do.
    """
    began = time.perf_counter()
    for done in range(rounds):
        if done >= _FEWEST and time.perf_counter() - began > _PATIENCE:
            break
        for trial in trials:
            trial.round(at_least)


def choosing(program: Program) -> float:
    """Return the seconds that choosing a token takes, for each word of the vocabulary."""
    logits, nothing = program.logits, np.zeros(0, np.int32)
    if logits is None:
        raise ValueError("a program without logits")
    took = []
    for _ in range(5):
        program.engine.run(np.zeros(1, np.int32), 0, 0)
        start = time.perf_counter()
        program.engine.sample(logits, 0.7, 40, 0.95, 0.05, 1.0, nothing, np.ones(1, np.uint64))
        took.append(time.perf_counter() - start)
    return statistics.median(took) / logits.width
