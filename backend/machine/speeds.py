"""How fast this machine is for the engine: memory, products by tensor type, attention. Measured, kept."""

import contextlib
import os
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path

import msgspec

from backend import paths
from backend.machine.cpu import physical_cores, read_cpu
from backend.machine.memory import available_memory
from ext import cpu

MEGABYTES = 200  # that bandwidth is measured on: no cache holds them
_FRESH = 300  # seconds in which figures stand as they are
_CHANGED = 1.3  # times faster or slower: another machine, as it were
_VERSION = 7  # of what is measured: figures of another one are void
_ALIKE = {"TQ1_0": "TQ2_0", "I2_S": "TQ2_0"}  # packed alike


class Speeds(msgspec.Struct, kw_only=True):
    """Figures of this machine with so many `threads`.

    `bandwidth`: bytes read a second. `one`: weights a second when an answer is written, by tensor type
    (`head TYPE` is an output matrix, of which a token reads the upper bits); `many`: weights times
    tokens a second when a prompt is read. Seconds of a token of an answer: `normalise` for each value that
    goes into products, `turn` for each value of queries, keys and values, `layer` for what else a layer does
    beside its products, `choose` for each word of the vocabulary when the next token is chosen; of a prompt,
    `normalise_many` (with what activations take) and `turn_many`. In attention: `attend_bytes` of keys and values a
    second and `attend_one` multiplications a second in an answer, `attend_many` in a prompt. `spread`:
    how far the same figure lies from itself at other moments, as a share.
    """

    version: int
    cpu: str
    isa: str
    threads: int
    at: float
    bandwidth: float
    one: dict[str, float]
    many: dict[str, float]
    normalise: float
    turn: float
    layer: float
    normalise_many: float
    turn_many: float
    choose: float
    attend_bytes: float
    attend_one: float
    attend_many: float
    spread: float


def known() -> Speeds | None:
    """Return what was measured on this processor with these kernels, or None."""
    with contextlib.suppress(OSError, ValueError, msgspec.MsgspecError):
        kept = msgspec.json.decode(_file().read_bytes(), type=Speeds)
        if (kept.version, kept.cpu, kept.isa, kept.threads) == _here():
            return kept
    return None


def forget() -> None:
    """Drop what was measured, so that it is measured again."""
    with contextlib.suppress(OSError):
        _file().unlink(missing_ok=True)


def measured(
    types: Iterable[str] = (), on_progress: Callable[[str], None] = lambda _: None
) -> Speeds:
    """Return figures that include these tensor types, measuring what is missing, and keep them.

    What others do to the memory changes all figures, on rented machines above all: where a glance finds
    it much faster or slower than it was, they are measured again.
    """
    # The engine and numpy: only when there is something to try.
    from backend.machine import measuring

    kept, fresh = known(), False
    if kept is not None and time.time() - kept.at > _FRESH and _changed(kept):
        kept = None
    if kept is None:
        on_progress("measuring memory and kernels: a few seconds")
        version, name, isa, threads = _here()
        kept, fresh = measuring.first(version, name, isa, threads, _stream()), True
    wanted = {name.removeprefix("head ") for name in types}
    missing = sorted(
        name
        for name in {_ALIKE.get(name, name) for name in wanted} - kept.one.keys()
        if measuring.can_multiply(name)
    )
    if missing:
        on_progress(f"measuring {', '.join(missing)}")
        for name, (one, many) in measuring.more(missing, kept, _stream()).items():
            kept.one[name], kept.many[name] = one, many
        fresh = True
    if fresh:
        _keep(kept)
    return kept


def _changed(kept: Speeds) -> bool:
    """Look whether memory is read much faster or slower than it was, as far as that can be told."""
    began, used = time.perf_counter(), time.process_time()
    rates = cpu.read_bandwidth(0.05, kept.threads, MEGABYTES)
    wall, used = time.perf_counter() - began, time.process_time() - used
    reading = sum(MEGABYTES * 1e6 / rate for rate in rates)
    ratio = statistics.median(rates) / kept.bandwidth
    if used < 0.85 * (kept.threads * reading + wall - reading):
        # Other programs have the processor: slower says nothing of the machine.
        return ratio > _CHANGED
    return not 1 / _CHANGED < ratio < _CHANGED


def rate(rates: Mapping[str, float], name: str) -> float | None:
    """Return the figure for a tensor type, `head TYPE` for an output matrix; None: not measured."""
    plain = name.removeprefix("head ")
    return rates.get(name) or rates.get(_ALIKE.get(plain, plain))


@cache
def processor() -> str:
    """Return the name of the processor, by which figures are kept apart."""
    return read_cpu().name


def _here() -> tuple[int, str, str, int]:
    return _VERSION, processor(), cpu.isa(), physical_cores()


def _file() -> Path:
    return paths.cache_dir() / "speeds.json"


def _stream() -> int:
    """Return several times the bytes that the last cache holds, within reason and what is free.

    Of twice as many a cache still gives a tenth back, for it does not always drop the oldest.
    """
    last = max((c.bytes * c.count for c in read_cpu().caches), default=0)
    return min(max(64 << 20, 3 * last), 160 << 20, available_memory() // 16)


def _keep(speeds: Speeds) -> None:
    """Write the figures whole or not at all; failing to is no reason to stop."""
    fresh = _file().with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(speeds))
        fresh.replace(_file())
