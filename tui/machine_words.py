"""What is known of a machine, in words: a row a fact, with the probe that said so."""

from __future__ import annotations

from typing import TYPE_CHECKING

from backend.text import clean
from backend.units import human_bytes

if TYPE_CHECKING:
    from backend.machine import GPU, Machine
    from backend.machine.speeds import Speeds

Row = tuple[str, str, str]


def rows(m: Machine) -> list[Row]:
    """Return name, fact and probe of everything that was found."""
    caches = ", ".join(
        f"L{c.level} {f'{c.count} × ' if c.count > 1 else ''}{human_bytes(c.bytes)}"
        for c in m.cpu.caches
    )
    swap = f"{human_bytes(m.memory.swap_free)} free of {human_bytes(m.memory.swap_total)}"
    found = [
        ("cpu", f"{clean(m.cpu.name)}, {m.cpu.cores} cores ({m.cpu.usable} usable)", m.cpu.probe),
        ("instructions", " ".join(m.cpu.isa) or "–", m.cpu.probe),
        ("caches", caches or "–", "sysfs" if m.cpu.probe != "sysctl" else "sysctl"),
        ("ram", _ram(m), m.memory.probe),
        ("swap", swap if m.memory.swap_total else "none", "psutil"),
        *(("gpu", gpu(one), one.probe) for one in m.gpus),
    ]
    if not m.gpus:
        given = "given" if "vram" in m.assumed else "NVML, nvidia-smi, /sys/class/drm"
        found.append(("gpu", "none" if "vram" in m.assumed else "none found", given))
    if m.disk_free is not None:
        found.append(("disk", f"{human_bytes(m.disk_free)} free for models", "statvfs"))
    return [*found, *(speeds(m.speeds) if m.speeds is not None else [])]


def _ram(m: Machine) -> str:
    free = f"{human_bytes(m.memory.available)} free"
    return free if "ram" in m.assumed else f"{free} of {human_bytes(m.memory.total)}"


def speeds(s: Speeds) -> list[Row]:
    """Return what was measured."""
    by = f"measured, {s.threads} threads"
    names = sorted(name for name in s.many if not name.startswith("head "))
    kernels = [f"{name} {s.one[name] / 1e9:.1f} / {s.many[name] / 1e9:.0f}" for name in names]
    return [
        ("bandwidth", f"{s.bandwidth / 1e9:.1f} GB/s read (±{s.spread:.0%})", by),
        ("kernels", f"{s.isa}; billion weights a second in an answer / in a prompt:", by),
        *(("", line, "") for line in kernels),
    ]


def gpu(one: GPU) -> str:
    """Return a GPU and its memory."""
    if one.total is None:
        return f"{clean(one.name)}, memory not known"
    free = "" if one.free is None else f"{human_bytes(one.free)} free of "
    shared = ", shared with the processor" if one.shared else ""
    return f"{clean(one.name)}, {free}{human_bytes(one.total)}{shared}"
