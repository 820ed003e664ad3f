"""How fast a loaded model is, beside what this machine's memory allows it."""

import resource
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from backend.inference.model import Model
from ext.cpu import read_bandwidth

_POWERCAP = Path("/sys/class/powercap")


@dataclass(frozen=True, slots=True)
class BenchResult:
    """Tokens per second of each repeat. `limit_per_second`: read bandwidth over the bytes of a token."""

    prompt_tokens: int
    new_tokens: int
    depth: int  # positions that the cache held before
    threads: int
    isa: str
    prompt_per_second: list[float]
    decode_per_second: list[float]
    bandwidth: float
    bytes_per_token: int
    limit_per_second: float
    fraction_of_limit: float | None
    peak_rss: int
    joules_per_token: float | None
    shares: dict[str, float]  # of the time of decoding, by kind of step


def _joules() -> float | None:
    """Return the energy counters of all processor packages together, or None where there are none."""
    total, found = 0.0, False
    for counter in _POWERCAP.glob("intel-rapl:[0-9]*/energy_uj"):
        if counter.parent.name.count(":") == 1:
            try:
                total += int(counter.read_text()) / 1e6
                found = True
            except (OSError, ValueError):
                continue
    return total if found else None


def peak_rss() -> int:
    """Return the most memory that this process has held, in bytes."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def bench(
    model: Model,
    prompt_tokens: int,
    new_tokens: int,
    repeats: int,
    on_progress: Callable[[str], None] = lambda _: None,
    depth: int = 0,
) -> BenchResult:
    """Measure prompt and answer speed `repeats` times, memory bandwidth between them.

    Token ids are drawn at random, and so is what `depth` positions of the cache hold before: speed does
    not depend on them. One uncounted run warms up.
    """
    rng = np.random.default_rng(0)
    ids = rng.integers(0, model.vocab_size, max(prompt_tokens, 1)).astype(np.int32)
    prompts, decodes, bandwidths = [], [], []
    energy: list[float] = []
    spent: dict[str, float] = {}
    peak = 0
    model.pretend(depth)
    for repeat in range(repeats + 1):
        on_progress(f"run {repeat} of {repeats}" if repeat else "warming up")
        took = model.time_prompt(ids, depth) if prompt_tokens else None
        before, kinds = _joules(), model.step_seconds()
        decode = _decode(model, ids, new_tokens) if new_tokens else None
        after = _joules()
        if not repeat:
            peak = peak_rss()  # before the buffer that bandwidth is measured on
            continue
        bandwidths += read_bandwidth(0.2, model.threads)
        if took:
            prompts.append(prompt_tokens / took)
        if decode:
            decodes.append(new_tokens / decode)
            spent = {k: v - kinds[k] + spent.get(k, 0.0) for k, v in model.step_seconds().items()}
            if before is not None and after is not None and after > before:
                energy.append((after - before) / new_tokens)
    bandwidth = statistics.median(bandwidths)
    limit = bandwidth / model.bytes_per_token
    total = sum(spent.values())
    return BenchResult(
        prompt_tokens=prompt_tokens,
        new_tokens=new_tokens,
        depth=depth,
        threads=model.threads,
        isa=model.isa,
        prompt_per_second=prompts,
        decode_per_second=decodes,
        bandwidth=bandwidth,
        bytes_per_token=model.bytes_per_token,
        limit_per_second=limit,
        fraction_of_limit=statistics.median(decodes) / limit if decodes else None,
        peak_rss=peak,
        joules_per_token=statistics.median(energy) if energy else None,
        shares={k: v / total for k, v in spent.items()} if total else {},
    )


def _decode(model: Model, ids: "np.ndarray[tuple[int], np.dtype[np.int32]]", count: int) -> float:
    start = time.perf_counter()
    model.run_tokens(ids, count)
    return time.perf_counter() - start
