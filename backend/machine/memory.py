"""Memory: what there is, what is free, and what a container allows."""

from dataclasses import dataclass
from pathlib import Path

import psutil

_UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 for "no limit"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory that this process can count on; swap stands apart."""

    total: int
    available: int
    swap_total: int
    swap_free: int
    probe: str


def _number(path: Path) -> int | None:
    try:
        text = path.read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() and int(text) < _UNLIMITED else None


def _statistic(path: Path, *names: str) -> int:
    try:
        pairs = dict(line.split()[:2] for line in path.read_text().splitlines() if " " in line)
    except (OSError, ValueError):
        return 0
    return next((int(pairs[n]) for n in names if n in pairs and pairs[n].isdigit()), 0)


def _group_folders(root: Path) -> list[tuple[Path, bool]]:
    """Return the control groups of this process, innermost first, and whether they are version 2."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return []
    folders: list[tuple[Path, bool]] = []
    for line in lines:
        parts = line.split(":", 2)
        if len(parts) != 3:
            continue
        number, controllers, name = parts
        two = number == "0" and not controllers
        if not two and "memory" not in controllers.split(","):
            continue
        base = root / ("sys/fs/cgroup" if two else "sys/fs/cgroup/memory")
        steps = [step for step in name.split("/") if step and step != ".."]
        folders += [(base.joinpath(*steps[:n]), two) for n in range(len(steps), -1, -1)]
    return folders


def _group_limit(folder: Path, two: bool) -> tuple[int, int] | None:
    """Return (limit, bytes still free under it); file pages that can be dropped count as free."""
    if two:
        limits = [
            n
            for n in (_number(folder / "memory.max"), _number(folder / "memory.high"))
            if n is not None
        ]
        limit, used = min(limits, default=None), _number(folder / "memory.current")
    else:
        limit, used = (
            _number(folder / "memory.limit_in_bytes"),
            _number(folder / "memory.usage_in_bytes"),
        )
    if limit is None:
        return None
    cache = _statistic(
        folder / "memory.stat", "inactive_file" if two else "total_inactive_file", "inactive_file"
    )
    return limit, max(0, limit - max(0, (used or 0) - cache))


def read_memory(root: Path = Path("/")) -> Memory:
    """Read memory; `root` is where control groups are looked for."""
    ram, swap = psutil.virtual_memory(), psutil.swap_memory()
    total, available, probe = ram.total, ram.available, "psutil"
    for folder, two in _group_folders(root):
        found = _group_limit(folder, two)
        if found and found[0] < total:
            total, available = found[0], min(available, found[1])
            probe = f"cgroup v{2 if two else 1}"
        elif found:
            available = min(available, found[1])
    return Memory(total, available, swap.total, swap.free, probe)


def available_memory() -> int:
    """Return the bytes that can be allocated without swapping or being killed."""
    return read_memory().available
