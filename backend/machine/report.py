"""The whole machine in one record."""

import shutil
from dataclasses import dataclass
from pathlib import Path

from backend import paths
from backend.machine import bandwidth
from backend.machine.cpu import CPU, read_cpu
from backend.machine.gpus import GPU, read_gpus
from backend.machine.memory import Memory, read_memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. `bandwidth` is bytes per second, None until it was measured."""

    cpu: CPU
    memory: Memory
    gpus: tuple[GPU, ...]
    disk_free: int | None
    bandwidth: float | None


def _disk_free() -> int | None:
    folder = paths.models_dir()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    try:
        return shutil.disk_usage(folder).free
    except OSError:
        return None


def read_machine(root: Path = Path("/"), *, measure: bool = False) -> Machine:
    """Read everything; with `measure`, take a second to measure bandwidth unless it is known."""
    rate = bandwidth.known()
    if rate is None and measure:
        rate = bandwidth.measured()
    return Machine(read_cpu(root), read_memory(root), tuple(read_gpus(root)), _disk_free(), rate)
