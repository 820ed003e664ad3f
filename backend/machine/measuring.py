"""The figures of `Speeds`, from trials: a few seconds of the engine's own steps."""

import statistics
import time
from collections.abc import Sequence

from backend.machine import trials
from backend.machine.speeds import MEGABYTES, Speeds
from backend.machine.trial_programs import (
    DEPTH,
    HEADS,
    TOKENS,
    WIDTH,
    attention,
    can_multiply,
    layers,
    split_head,
)
from backend.machine.trials import Trial
from ext import cpu

__all__ = ["can_multiply", "first", "more"]

# What is measured at first; other types when a model of theirs is looked at.
_USUAL = ("Q4_K", "Q6_K", "Q8_0", "TQ2_0")
_SPLIT = ("Q6_K", "Q8_0")  # as output matrices, of which a token reads the upper bits
_ROUNDS, _A_ROUND = 5, 0.008  # seconds of each trial in each round
_TOGETHER = 4  # types at once, for the memory they take
_PER_HEAD = 2 * WIDTH  # values of a position: a key and a value
_F16 = 2  # bytes


class _Products:
    """The products of a tensor type, of one token and of a prompt."""

    def __init__(self, name: str, threads: int, stream: int) -> None:
        self.one = Trial(layers(name, stream, threads, 16))
        self.many = Trial(layers(name, 1, threads, TOKENS), tokens=TOKENS)

    @property
    def rates(self) -> tuple[float, float]:
        """Weights a second in an answer; in a prompt, times tokens."""
        one, many = self.one.program.weights, self.many.program.weights
        return one / self.one.seconds_of("linear"), many * TOKENS / self.many.seconds_of("linear")


class _Attention:
    """Attention deep in a context, over many keys and over few: what they cost and what the rest does."""

    def __init__(self, threads: int, stream: int) -> None:
        wide, narrow = attention(HEADS, stream, threads), attention(HEADS // 4, stream, threads)
        self.wide, self.narrow = (Trial(p, first=DEPTH - 1) for p in (wide, narrow))
        few = attention(HEADS // 2, 1, threads)  # a prompt's arithmetic outweighs its reading
        self.many = Trial(few, tokens=TOKENS, first=DEPTH - TOKENS)

    def rates(self, turn: float, layer: float) -> tuple[float, float, float]:
        """Return bytes and multiplications a second of a token, and multiplications a second in a prompt.

        Two equations: seconds of a position = bytes / bytes a second + multiplications / those a second.
        """
        wide, narrow = (
            max((t.seconds - t.program.turned * turn) / t.program.layers - layer, 1e-9) / DEPTH
            for t in (self.wide, self.narrow)
        )
        byte = (wide - narrow) / (_F16 * _PER_HEAD * (HEADS - HEADS // 4))
        byte = max(byte, wide / (_F16 * _PER_HEAD * HEADS) / 10)  # noise may turn them round
        work = HEADS * _PER_HEAD  # multiplications of a token and position
        one = max(narrow - byte * _F16 * _PER_HEAD * (HEADS // 4), narrow / 10) / work
        seen = TOKENS * (DEPTH - TOKENS / 2) * self.many.program.layers
        return 1 / byte, 1 / one, work * seen / self.many.seconds


def first(version: int, name: str, isa: str, threads: int, stream: int) -> Speeds:
    """Measure what any model asks for. `stream`: bytes that no cache holds."""
    rates = cpu.read_bandwidth(0.1, threads, MEGABYTES)
    found = {kind: _Products(kind, threads, stream) for kind in _USUAL}
    heads = {kind: Trial(split_head(kind, threads), logits=True) for kind in _SPLIT}
    deep = _Attention(threads, stream)
    ones, manys = [p.one for p in found.values()], [p.many for p in found.values()]
    every = [*ones, *manys, *heads.values()]
    every += [deep.wide, deep.narrow, deep.many]
    trials.run(every, _ROUNDS, _A_ROUND)
    rates += cpu.read_bandwidth(0.1, threads, MEGABYTES)
    turn = statistics.median(t.seconds_of("rope") / t.program.turned for t in ones)
    layer = statistics.median(t.seconds_of("attend", "glu") / t.program.layers for t in ones)
    attend_bytes, attend_one, attend_many = deep.rates(turn, layer)
    return Speeds(
        version=version,
        cpu=name,
        isa=isa,
        threads=threads,
        at=time.time(),
        bandwidth=statistics.median(rates),
        one={kind: p.rates[0] for kind, p in found.items()}
        | {f"head {kind}": t.program.weights / t.seconds for kind, t in heads.items()},
        many={kind: p.rates[1] for kind, p in found.items()},
        normalise=statistics.median(t.seconds_of("norm") / t.program.normalised for t in ones),
        turn=turn,
        layer=layer,
        normalise_many=statistics.median(
            t.seconds_of("norm", "glu") / t.program.normalised / TOKENS for t in manys
        ),
        turn_many=statistics.median(
            t.seconds_of("rope") / t.program.turned / TOKENS for t in manys
        ),
        choose=statistics.median(trials.choosing(t.program) for t in heads.values()),
        attend_bytes=attend_bytes,
        attend_one=attend_one,
        attend_many=attend_many,
        spread=statistics.median(t.spread for t in (*ones, *heads.values())),
    )


def more(names: Sequence[str], kept: Speeds, stream: int) -> dict[str, tuple[float, float]]:
    """Return what `Speeds` has in `one` and `many` for tensor types that came later, by name.

    The machine may be busier or calmer than when the others were measured, and figures are there to be
    compared. So a type that has figures is tried in the same rounds, and what it makes now, against what
    it made then, goes for all.
    """
    beside = _USUAL[0]
    found: dict[str, tuple[float, float]] = {}
    for at in range(0, len(names), _TOGETHER):
        some = {name: _Products(name, kept.threads, stream) for name in names[at : at + _TOGETHER]}
        known = _Products(beside, kept.threads, stream)
        every = [*some.values(), known]
        trials.run([t for p in every for t in (p.one, p.many)], _ROUNDS, _A_ROUND)
        one, many = kept.one[beside] / known.rates[0], kept.many[beside] / known.rates[1]
        found |= {name: (p.rates[0] * one, p.rates[1] * many) for name, p in some.items()}
    return found
