"""Memory: what there is, what is free, and what a container allows."""

from dataclasses import dataclass

import psutil

from backend.machine.host import Facts, Host, Local, whole_number

_UNLIMITED = 1 << 60  # cgroup v1 writes a number near 2^63 for "no limit"


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of memory that this process can count on; swap stands apart."""

    total: int
    available: int
    swap_total: int
    swap_free: int
    probe: str


def _library() -> Facts:
    ram, swap = psutil.virtual_memory(), psutil.swap_memory()
    return {
        "total": ram.total,
        "available": ram.available,
        "swap_total": swap.total,
        "swap_free": swap.free,
    }


def _address_space() -> Facts:
    """Return the limit of this process's address space, and what of it is taken."""
    import resource

    soft, _hard = resource.getrlimit(resource.RLIMIT_AS)
    if soft == resource.RLIM_INFINITY:
        return None
    return {"limit": soft, "used": psutil.Process().memory_info().vms}


def _statistics(host: Host, path: str) -> dict[str, int]:
    pairs = (line.split() for line in (host.text(path) or "").splitlines())
    return {p[0]: int(p[1]) for p in pairs if len(p) == 2 and p[1].isdecimal()}


def group_folders(host: Host, controller: str) -> list[tuple[str, bool]]:
    """Return the control groups of this process, innermost first, and whether they are version 2.

    In a container the path in /proc may be that of the host, where nothing lies; then the root of the
    mount is the container's own group, and comes last in any case.
    """
    folders: list[tuple[str, bool]] = []
    for line in (host.text("/proc/self/cgroup") or "").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, name = rest.partition(":")
        two = number == "0" and not controllers
        if not two and controller not in controllers.split(","):
            continue
        base = "/sys/fs/cgroup" if two else f"/sys/fs/cgroup/{controllers}"
        if not two and not host.names(base):
            base = f"/sys/fs/cgroup/{controller}"
        steps = [step for step in name.split("/") if step and step != ".."]
        folders += [("/".join([base, *steps[:n]]), two) for n in range(len(steps), -1, -1)]
    return folders


def _group_limit(host: Host, folder: str, two: bool) -> tuple[int, int] | None:
    """Return (limit, bytes still free under it). Pages of files that can be dropped count as free.

    The kernel counts the page cache as used, so a model that was once read through a memory map
    would seem to have taken its memory for good. Clean file pages, active or not, are given up before
    anything is killed; dirty ones and those under way to the disk are not.
    """
    names = ("memory.max", "memory.high") if two else ("memory.limit_in_bytes",)
    found = [whole_number(host, f"{folder}/{name}") for name in names]
    limits = [n for n in found if n is not None and n < _UNLIMITED]
    if not limits:
        return None
    limit = min(limits)
    used = whole_number(host, f"{folder}/memory.{'current' if two else 'usage_in_bytes'}") or 0
    said = _statistics(host, f"{folder}/memory.stat")
    total = "" if two else "total_"  # version 1 tells of the group alone and of all below it
    dirty = ("file_dirty", "file_writeback") if two else ("total_dirty", "total_writeback")
    files = said.get(f"{total}inactive_file", 0) + said.get(f"{total}active_file", 0)
    cache = max(0, files - sum(said.get(name, 0) for name in dirty))
    cache += said.get("slab_reclaimable", 0)
    return limit, min(limit, max(0, limit - max(0, used - cache)))


def read_memory(host: Host | None = None) -> Memory:
    """Read memory: psutil's figures, lowered to what control groups and limits of the process allow."""
    host = host or Local()
    said = host.ask("psutil.memory", _library) or {}
    total, available = int(said.get("total", 0)), int(said.get("available", 0))
    probe = "psutil"
    for folder, two in group_folders(host, "memory"):
        found = _group_limit(host, folder, two)
        if found is None:
            continue
        if found[0] < total:
            total, probe = found[0], f"cgroup v{2 if two else 1}"
        available = min(available, found[1])
    limit = host.ask("rlimit", _address_space)
    if limit:
        room = max(0, int(limit["limit"]) - int(limit["used"]))
        if room < available:
            available, probe = room, "RLIMIT_AS"
    return Memory(
        total, available, int(said.get("swap_total", 0)), int(said.get("swap_free", 0)), probe
    )


def available_memory() -> int:
    """Return the bytes that can be allocated without swapping or being killed."""
    return read_memory().available
