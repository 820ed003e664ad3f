"""Intel's GPUs by the files of the drivers xe and i915."""

from backend.machine import drm
from backend.machine.graphics import GPU
from backend.machine.host import Host, whole_number
from backend.machine.memory import Memory


def read_intel(host: Host, ram: Memory) -> list[GPU]:
    """List Intel's GPUs. One without memory of its own uses the computer's."""
    return [_gpu(host, card, ram) for card in drm.cards(host) if card.vendor == "Intel"]


def _gpu(host: Host, card: drm.Card, ram: Memory) -> GPU:
    name = drm.product(host, card)
    tiles = [
        whole_number(host, f"{card.files}/{tile}/physical_vram_size_bytes")
        for tile in host.names(card.files)
        if tile.startswith("tile")
    ]
    if any(tiles):  # xe tells no free memory
        return GPU(name, "Intel", sum(t or 0 for t in tiles), None, f"{drm.BASE}, xe")
    for folder in (card.folder, f"{card.files}/drm/{card.folder.rpartition('/')[2]}"):
        total = whole_number(host, f"{folder}/lmem_total_bytes")
        if total:
            free = whole_number(host, f"{folder}/lmem_avail_bytes")
            return GPU(name, "Intel", total, free, f"{drm.BASE}, i915")
    return GPU(name, "Intel", ram.total, ram.available, f"{drm.BASE}, shares RAM", True)
