"""Graphics processors as the kernel lists them: name and vendor; memory where a driver says it.

The engine runs on the processor, so these are told for information: another runtime could use them.
"""

from dataclasses import dataclass
from pathlib import Path

_VENDORS = {"0x10de": "NVIDIA", "0x1002": "AMD", "0x8086": "Intel"}


@dataclass(frozen=True, slots=True)
class GPU:
    """A graphics processor. `total` and `free` are bytes, None when no probe knows."""

    name: str
    vendor: str
    total: int | None
    free: int | None
    probe: str


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace").strip()
    except OSError:
        return ""


def read_gpus(root: Path = Path("/")) -> list[GPU]:
    """List what /sys/class/drm and the NVIDIA driver show."""
    found = []
    for card in sorted(root.glob("sys/class/drm/card[0-9]*")):
        device = card / "device"
        vendor = _VENDORS.get(_read(device / "vendor"))
        if vendor is None or "-" in card.name:
            continue
        total, used = _read(device / "mem_info_vram_total"), _read(device / "mem_info_vram_used")
        known = total.isdigit() and used.isdigit()
        found.append(
            GPU(
                name=f"{vendor} {_read(device / 'device')}".strip(),
                vendor=vendor,
                total=int(total) if known else None,
                free=int(total) - int(used) if known else None,
                probe="/sys/class/drm",
            )
        )
    if not any(g.vendor == "NVIDIA" for g in found):
        for information in sorted(root.glob("proc/driver/nvidia/gpus/*/information")):
            lines = dict(
                line.split(":", 1) for line in _read(information).splitlines() if ":" in line
            )
            found.append(
                GPU(
                    lines.get("Model", "NVIDIA").strip(),
                    "NVIDIA",
                    None,
                    None,
                    "/proc/driver/nvidia",
                )
            )
    return found
