"""Graphics processors, with total and free memory where a probe knows them.

The engine runs on the processor, so these tell what another runtime could use. Each vendor has a module
with its probes; the kernel's list (drm.py) names NVIDIA's cards where their driver is missing.
"""

from backend.machine import drm
from backend.machine.amd import read_amd
from backend.machine.apple import read_apple
from backend.machine.graphics import GPU
from backend.machine.host import Host
from backend.machine.intel import read_intel
from backend.machine.memory import Memory
from backend.machine.nvidia import read_nvidia


def read_gpus(host: Host, ram: Memory) -> list[GPU]:
    """List them. `ram` bounds what a GPU that shares the computer's memory can use."""
    found = [*read_nvidia(host, ram), *read_amd(host, ram), *read_intel(host, ram)]
    if not any(gpu.vendor == "NVIDIA" for gpu in found):
        found += _without_driver(host)
    return found + read_apple(host, ram)


def _without_driver(host: Host) -> list[GPU]:
    """Name NVIDIA's cards of which neither NVML nor nvidia-smi tells."""
    base = "/proc/driver/nvidia/gpus"
    named = []
    for bus in host.names(base):
        pairs = (
            line.split(":", 1)
            for line in (host.text(f"{base}/{bus}/information") or "").splitlines()
        )
        model = next((p[1].strip() for p in pairs if len(p) == 2 and p[0] == "Model"), "NVIDIA")
        named.append(GPU(model, "NVIDIA", None, None, base))
    if named:
        return named
    return [
        GPU(drm.product(host, card), "NVIDIA", None, None, drm.BASE)
        for card in drm.cards(host)
        if card.vendor == "NVIDIA"
    ]
