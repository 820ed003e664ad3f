"""Numbers for people. Sizes are decimal (GB = 10^9 bytes) everywhere; GiB is never shown."""


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
