"""The processor: name, cores, instruction sets that matter to the kernels."""

import platform
from dataclasses import dataclass
from pathlib import Path

import psutil

# Flags of /proc/cpuinfo that decide which kernels run, x86-64 and ARM64.
_KNOWN = (
    "avx2", "fma", "f16c", "avx_vnni", "avx512f", "avx512bw", "avx512vl", "avx512_vnni", "avx512vbmi",
    "avx512_bf16", "amx_int8", "asimd", "asimddp", "i8mm", "sve",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class CPU:
    """A processor. `cores` are physical ones; `usable` those this process may run on."""

    name: str
    cores: int
    threads: int
    usable: int
    isa: tuple[str, ...]
    probe: str


def physical_cores() -> int:
    """Return how many threads the engine should use: physical cores, no more than we may run on."""
    cores = psutil.cpu_count(logical=False) or psutil.cpu_count() or 1
    return max(1, min(cores, _usable()))


def _usable() -> int:
    try:
        return len(psutil.Process().cpu_affinity())
    except (AttributeError, OSError, psutil.Error):
        return psutil.cpu_count() or 1


def read_cpu(root: Path = Path("/")) -> CPU:
    """Read the processor; `root` is where /proc is looked for."""
    info: dict[str, str] = {}
    try:
        for line in (root / "proc/cpuinfo").read_text(errors="replace").splitlines():
            key, _, value = line.partition(":")
            info.setdefault(key.strip(), value.strip())
        probe = "/proc/cpuinfo"
    except OSError:
        probe = "platform"
    flags = set(info.get("flags", info.get("Features", "")).split())
    name = info.get("model name") or info.get("Model") or platform.processor() or platform.machine()
    return CPU(
        name=name,
        cores=psutil.cpu_count(logical=False) or 1,
        threads=psutil.cpu_count() or 1,
        usable=_usable(),
        isa=tuple(flag for flag in _KNOWN if flag in flags),
        probe=probe,
    )
