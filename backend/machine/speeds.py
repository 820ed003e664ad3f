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
from ext import cpu

_VERSION = 2  # of what is measured: figures of another one are void
# What is measured at first, in two seconds; other types when a model of theirs is looked at.
_USUAL = ("Q4_K", "Q5_K", "Q6_K", "Q8_0", "TQ2_0")
_SPLIT = ("Q6_K", "Q8_0")  # as output matrices, of which a token reads the upper bits
_ALIKE = {"TQ1_0": "TQ2_0", "I2_S": "TQ2_0"}  # packed alike


class Speeds(msgspec.Struct, kw_only=True):
    """Figures of this machine with so many `threads`.

    `bandwidth`: bytes read a second. `one`: weights a second when an answer is written, by tensor type
    (`head TYPE` is an output matrix, of which a token reads the upper bits); `many`: weights times
    tokens a second when a prompt is read. `attend_one`, `attend_many`: multiplications a second in
    attention. `layer`: seconds that a layer takes beside its products, a token of an answer. `spread`:
    how far single measurements lie apart, as a share.
    """

    version: int
    cpu: str
    isa: str
    threads: int
    at: float
    bandwidth: float
    one: dict[str, float]
    many: dict[str, float]
    attend_one: float
    attend_many: float
    layer: float
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

    Figures that were taken while others used the memory are too low: a glance at it tells.
    """
    from backend.machine import trials  # the engine and numpy: only when there is something to try

    kept, fresh = known(), False
    if kept is not None and max(cpu.read_bandwidth(0.05, kept.threads)) > 1.3 * kept.bandwidth:
        kept = None
    if kept is None:
        on_progress("measuring memory and kernels: about two seconds")
        kept, fresh = _first(), True
    wanted = {name.removeprefix("head ") for name in types}
    for name in sorted({_ALIKE.get(name, name) for name in wanted}):
        if name not in kept.one and trials.can_multiply(name):
            on_progress(f"measuring {name}")
            kept.one[name], kept.many[name] = trials.products(name, kept.threads, _stream())
            fresh = True
    if fresh:
        _keep(kept)
    return kept


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
    """Return several times the bytes that the last cache holds, within reason."""
    last = max((c.bytes * c.count for c in read_cpu().caches), default=0)
    return min(max(64 << 20, 2 * last), 160 << 20)


def _first() -> Speeds:
    from backend.machine import trials

    version, name, isa, threads = _here()
    rates, stream = cpu.read_bandwidth(0.2, threads), _stream()
    found = {kind: trials.products(kind, threads, stream) for kind in _USUAL}
    one = {kind: figures[0] for kind, figures in found.items()}
    one |= {f"head {kind}": trials.split_head(kind, threads) for kind in _SPLIT}
    attend_one, attend_many, layer = trials.attention(threads)
    rates += cpu.read_bandwidth(0.1, threads)
    rates = sorted(rates)[len(rates) // 2 :]  # others' turns on the memory make the rest slow
    middle = statistics.median(rates)
    return Speeds(
        version=version,
        cpu=name,
        isa=isa,
        threads=threads,
        at=time.time(),
        bandwidth=middle,
        one=one,
        many={kind: figures[1] for kind, figures in found.items()},
        attend_one=attend_one,
        attend_many=attend_many,
        layer=layer,
        spread=statistics.median(abs(r - middle) for r in rates) / middle,
    )


def _keep(speeds: Speeds) -> None:
    """Write the figures whole or not at all; failing to is no reason to stop."""
    fresh = _file().with_suffix(f".{os.getpid()}.tmp")
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(msgspec.json.encode(speeds))
        fresh.replace(_file())
