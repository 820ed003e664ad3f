"""Figures of interleaved runs as a Markdown table: medians, spread, ratios, share of the limit.

Runs of one round stand next to each other in time, so a ratio is taken within each round and then its
median over the rounds: what slows the machine down for a while slows both.
"""

import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from bench.engines import Sample, Work


@dataclass(frozen=True, slots=True)
class Series:
    """All runs of one engine at one piece of work; `samples[i]` belongs to round i."""

    engine: str
    work: Work
    file_bytes: int  # of weights that a token reads, as stored in the file
    samples: list[Sample]


Pick = Callable[[Sample], float]


def _spread(values: Sequence[float], form: str) -> str:
    if not any(values):
        return "–"
    if len(values) == 1:
        return f"**{values[0]:{form}}**"
    low, middle, high = min(values), statistics.median(values), max(values)
    return f"{low:{form}} / **{middle:{form}}** / {high:{form}}"


def _rates(series: Series, pick: Pick) -> str:
    return _spread([pick(sample) for sample in series.samples], ".1f")


def ratios(ours: Series, peer: Series, pick: Pick) -> list[float]:
    """Return ours over the peer's in each round that has both."""
    pairs = zip(ours.samples, peer.samples, strict=False)
    return [pick(a) / pick(b) for a, b in pairs if pick(a) and pick(b)]


def fraction_of_limit(series: Series, bandwidth: float) -> float | None:
    """Return the median decode speed over what the bandwidth allows for the bytes of a token."""
    decode = statistics.median(sample.decode for sample in series.samples)
    read = series.samples[0].bytes_per_token or series.file_bytes
    return decode * read / bandwidth if bandwidth and decode else None


def _row(series: Series, ours: Series, bandwidth: float) -> list[str]:
    is_ours = series is ours
    read = series.samples[0].bytes_per_token or series.file_bytes
    fraction = fraction_of_limit(series, bandwidth)
    cells = [series.engine, str(series.work.threads), f"{read / 1e6:.0f}"]
    for pick in (_prefill, _decode):
        cells.append(_rates(series, pick))
        cells.append("" if is_ours else _spread(ratios(ours, series, pick), ".2f"))
    return [*cells, "–" if fraction is None else f"{fraction:.0%}"]


def _prefill(sample: Sample) -> float:
    return sample.prefill


def _decode(sample: Sample) -> float:
    return sample.decode


def bandwidth_of(ours: Series) -> float:
    """Return the median read bandwidth that our runs of this series measured, bytes a second."""
    return statistics.median(sample.bandwidth for sample in ours.samples)


def markdown(groups: Sequence[Sequence[Series]]) -> str:
    """Return the table; each group is one piece of work, our engine first."""
    work = groups[0][0].work
    after = f" after {work.depth}" if work.depth else ""
    head = [
        "engine",
        "threads",
        "MB a token",
        f"prefill of {work.prompt}{after}, tok/s",
        "Sterna ÷ it",
        f"decode of {work.answer}{after}, tok/s",
        "Sterna ÷ it",
        "of the limit",
    ]
    rows = [_row(s, group[0], bandwidth_of(group[0])) for group in groups for s in group]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)


def notes(groups: Sequence[Sequence[Series]]) -> str:
    """Return what a reader needs to judge the table: bandwidth, builds, memory, how it was made."""
    measured = [
        f"{bandwidth_of(group[0]) / 1e9:.1f} GB/s at {group[0].work.threads} thread(s)"
        for group in groups
    ]
    lines = [f"- read bandwidth, measured between Sterna's runs: {', '.join(measured)}"]
    lines += [f"- {series.engine}: {series.samples[0].note}" for series in groups[0]]
    peak = max(sample.peak_rss for group in groups for sample in group[0].samples)
    lines.append(f"- peak memory of Sterna: {peak / 1e6:.0f} MB")
    work = groups[0][0].work
    shares = [
        f"{statistics.median(s.attention for s in group[0].samples):.0%} at "
        f"{group[0].work.threads} thread(s)"
        for group in groups
    ]
    lines.append(
        f"- attention's share of decoding after {work.depth + work.prompt} tokens: {', '.join(shares)}"
    )
    rounds = len(groups[0][0].samples)
    lines.append(
        f"- min / **median** / max of {rounds} round(s); engines took turns within each round, and "
        "ratios are taken within rounds; the limit is bandwidth over the bytes that a token reads"
    )
    return "\n".join(lines)
