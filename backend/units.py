"""Numbers for people. Sizes are decimal (GB = 10^9 bytes) everywhere; GiB is never shown."""

import re

_SIZE = re.compile(
    r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmgt]?)(i?)b?\s*", re.IGNORECASE | re.ASCII
)
_COUNT = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,9})?)\s*([kmbt]?)\s*", re.IGNORECASE | re.ASCII)
_SPANS = ((60, 60, "min"), (3600, 24, "h"), (86400, 7, "d"), (604800, 52, "w"))


def human_bytes(count: int) -> str:
    """Return `count` bytes as e.g. `2.50 GB`, three figures."""
    value, unit = float(count), "B"
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 999.5 or unit == "TB":
            break
        value /= 1000
    return f"{int(value)} B" if unit == "B" else f"{value:#.3g}".rstrip(".") + f" {unit}"


def human_count(count: int) -> str:
    """Return a number of parameters as e.g. `4.02 B` or `260 K`, three figures."""
    for limit, unit in ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "K")):
        if count >= limit * 0.9995:
            return f"{count / limit:#.3g}".rstrip(".") + f" {unit}"
    return str(count)


def human_seconds(seconds: float) -> str:
    """Return a time that is left as e.g. `40 s`, `12 min` or `2 h 5 min`."""
    whole = max(1, round(seconds))
    if whole < 100:
        return f"{whole} s"
    minutes = round(whole / 60)
    return f"{minutes} min" if minutes < 100 else f"{minutes // 60} h {minutes % 60} min"


def ago(then: float, now: float) -> str:
    """Return how long ago `then` was, as e.g. `now`, `5 min`, `2 h`, `9 d`, `3 w`, `2 y`."""
    seconds = max(0.0, now - then)
    if seconds < 60:
        return "now"
    for size, limit, unit in _SPANS:
        if seconds < size * limit:
            return f"{int(seconds // size)} {unit}"
    return f"{int(seconds // (365.25 * 86400)) or 1} y"


def human_rate(value: float) -> str:
    """Return a rate as `8.6`, `61` or `1,240`: two or three figures, as far as it is known."""
    return f"{value:.1f}" if value < 20 else f"{value:,.0f}"


def parse_bytes(text: str) -> int:
    """Return the bytes of `8GB` (10^9 each), `8GiB` (2^30 each), `8G` or `8000000000`.

    Raises ValueError for anything else.
    """
    match = _SIZE.fullmatch(text)
    if match is None or (match[3] and not match[2]):
        raise ValueError(f"{text!r} is no size: write it as 8GB or 8GiB")
    power = " kmgt".index(match[2].lower() or " ")
    unit: int = (1024 if match[3] else 1000) ** power
    return round(float(match[1]) * unit)


def parse_count(text: str) -> int:
    """Return the number of parameters that `8B`, `350M` or `8000000000` means; raises ValueError."""
    match = _COUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is no number of parameters: write it as 8B or 350M")
    unit: int = 1000 ** " kmbt".index(match[2].lower() or " ")
    return round(float(match[1]) * unit)
