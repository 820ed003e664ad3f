"""The processor: name, cores, caches, and the instruction sets that matter to the kernels."""

import math
import platform
import re
from dataclasses import dataclass

import psutil

from backend.machine.host import Facts, Host, Local, whole_number
from backend.machine.memory import group_folders

# Flags of /proc/cpuinfo that decide which kernels run, x86-64 and ARM64.
_KNOWN = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512vbmi",
    "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip
# What macOS calls them.
_SYSCTL = {
    "hw.optional.neon": "asimd",
    "hw.optional.AdvSIMD": "asimd",
    "hw.optional.arm.FEAT_DotProd": "asimddp",
    "hw.optional.arm.FEAT_I8MM": "i8mm",
    "hw.optional.avx2_0": "avx2",
}
_CPU_FOLDER = re.compile(r"cpu\d+$")


@dataclass(frozen=True, slots=True)
class Cache:
    """A level of cache: bytes of one, and how many of them the processor has."""

    level: int
    bytes: int
    count: int


@dataclass(frozen=True, slots=True)
class CPU:
    """A processor. `cores` are physical ones; `usable` as many as this process may keep busy."""

    name: str
    cores: int
    threads: int
    usable: int
    isa: tuple[str, ...]
    caches: tuple[Cache, ...]  # of data, the smallest first
    probe: str


def _library() -> Facts:
    try:
        may = len(psutil.Process().cpu_affinity() or [])
    except (AttributeError, OSError, psutil.Error):
        may = 0
    threads = psutil.cpu_count() or 1
    return {
        "cores": psutil.cpu_count(logical=False) or threads,
        "threads": threads,
        "affinity": may or threads,
        "name": platform.processor() or platform.machine(),
    }


def physical_cores() -> int:
    """Return how many threads the engine should use: physical cores, no more than we may run on."""
    host = Local()
    said = host.ask("psutil.cpu", _library) or {}
    return max(1, min(int(said.get("cores", 1)), _usable(host, said)))


def _usable(host: Host, said: Facts) -> int:
    """Return the processors that the affinity and the control groups' quota leave."""
    usable = int(said.get("affinity", 1))
    for folder, two in group_folders(host, "cpu"):
        if two:
            quota, _, period = (host.text(f"{folder}/cpu.max") or "").partition(" ")
            share = int(quota) / int(period) if quota.isdecimal() and period.isdecimal() else None
        else:
            given = whole_number(host, f"{folder}/cpu.cfs_quota_us")
            each = whole_number(host, f"{folder}/cpu.cfs_period_us")
            share = given / each if given and each else None
        if share:
            usable = min(usable, math.ceil(share))
    return max(1, usable)


def _size(text: str | None) -> int:
    """Return the bytes of a size as sysfs writes it, `32K`."""
    text = text or ""
    unit = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}.get(text[-1:], 1)
    digits = text.rstrip("KMG")
    return int(digits) * unit if digits.isdecimal() else 0


def _caches(host: Host) -> tuple[Cache, ...]:
    """Read the caches of all processors; those that share one name the same list of processors."""
    base = "/sys/devices/system/cpu"
    found: dict[tuple[int, int], set[str]] = {}
    for cpu in filter(_CPU_FOLDER.match, host.names(base)):
        for index in host.names(f"{base}/{cpu}/cache"):
            folder = f"{base}/{cpu}/cache/{index}"
            level = whole_number(host, f"{folder}/level")
            size = _size(host.text(f"{folder}/size"))
            if level and size and host.text(f"{folder}/type") in ("Data", "Unified"):
                shared = host.text(f"{folder}/shared_cpu_list") or cpu
                found.setdefault((level, size), set()).add(shared)
    return tuple(Cache(level, size, len(lists)) for (level, size), lists in sorted(found.items()))


def _macos(host: Host, said: Facts) -> CPU | None:
    brand = host.output("sysctl", "-n", "machdep.cpu.brand_string")
    if not brand:
        return None
    isa = {flag for key, flag in _SYSCTL.items() if host.output("sysctl", "-n", key) == "1"}
    cores = int(said.get("cores", 1))
    caches = []
    for level, key in ((1, "hw.l1dcachesize"), (2, "hw.l2cachesize"), (3, "hw.l3cachesize")):
        size = host.output("sysctl", "-n", key) or ""
        if size.isdecimal() and int(size):
            caches.append(Cache(level, int(size), cores if level == 1 else 1))
    return CPU(
        name=brand,
        cores=cores,
        threads=int(said.get("threads", 1)),
        usable=_usable(host, said),
        isa=tuple(flag for flag in _KNOWN if flag in isa),
        caches=tuple(caches),
        probe="sysctl",
    )


def read_cpu(host: Host | None = None) -> CPU:
    """Read the processor."""
    host = host or Local()
    said = host.ask("psutil.cpu", _library) or {}
    text = host.text("/proc/cpuinfo", 16384)  # one processor is enough
    if text is None and (apple := _macos(host, said)):
        return apple
    info: dict[str, str] = {}
    for line in (text or "").splitlines():
        key, _, value = line.partition(":")
        info.setdefault(key.strip(), value.strip())
    flags = set(info.get("flags", info.get("Features", "")).split())
    named = info.get("model name") or info.get("Model") or said.get("name") or "unknown processor"
    return CPU(
        name=str(named),
        cores=int(said.get("cores", 1)),
        threads=int(said.get("threads", 1)),
        usable=_usable(host, said),
        isa=tuple(flag for flag in _KNOWN if flag in flags),
        caches=_caches(host),
        probe="psutil" if text is None else "/proc/cpuinfo, psutil",
    )
