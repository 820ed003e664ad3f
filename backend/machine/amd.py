"""AMD's GPUs by the amdgpu driver's files. A processor with graphics (APU) uses the computer's memory."""

from backend.machine import drm
from backend.machine.graphics import GPU
from backend.machine.host import Host, whole_number
from backend.machine.memory import Memory

_TOPOLOGY = "/sys/class/kfd/kfd/topology/nodes"


def read_amd(host: Host, ram: Memory) -> list[GPU]:
    """List AMD's GPUs."""
    return [_gpu(host, card, ram) for card in drm.cards(host) if card.vendor == "AMD"]


def _gpu(host: Host, card: drm.Card, ram: Memory) -> GPU:
    def bytes_of(pool: str) -> tuple[int | None, int]:
        total = whole_number(host, f"{card.files}/mem_info_{pool}_total")
        used = whole_number(host, f"{card.files}/mem_info_{pool}_used")
        return total, max(0, (total or 0) - (used or 0))

    name = drm.product(host, card)
    (total, free), (outside, outside_free) = bytes_of("vram"), bytes_of("gtt")
    if total is None:
        return GPU(name, "AMD", None, None, drm.BASE)
    if not outside or not _is_apu(host, card, total, outside):
        return GPU(name, "AMD", total, free, f"{drm.BASE}, VRAM")
    # What the firmware set aside is small; the driver maps the computer's memory (GTT) beside it. The
    # driver's figure for that may exceed what the computer has left.
    return GPU(
        name,
        "AMD",
        total + min(outside, ram.total),
        free + min(outside_free, ram.available),
        f"{drm.BASE}, VRAM and GTT",
        True,
    )


def _is_apu(host: Host, card: drm.Card, vram: int, gtt: int) -> bool:
    """Tell a processor's graphics from a card.

    Where the compute driver is loaded, its node has cores of both kinds. Elsewhere: a card names the
    maker of its memory, and the driver gives it a window of at most the size of that memory or of a
    part of the computer's; a processor's graphics have a window several times what was set aside.
    """
    minors = {
        name.removeprefix("renderD")
        for name in host.names(f"{card.files}/drm")
        if name.startswith("renderD")
    }
    for node in host.names(_TOPOLOGY):
        pairs = (
            line.split()
            for line in (host.text(f"{_TOPOLOGY}/{node}/properties") or "").splitlines()
        )
        said = {p[0]: p[1] for p in pairs if len(p) == 2}
        if said.get("drm_render_minor") in minors and said.get("simd_count", "0") != "0":
            if said.get("cpu_cores_count", "0") != "0":
                return True
            break
    maker = host.text(f"{card.files}/mem_info_vram_vendor")
    return maker in (None, "", "unknown") and gtt >= 2 * vram
