"""What this computer has, and how fast it really is. Each figure says which probe gave it."""

from backend.machine.cpu import CPU, physical_cores, read_cpu
from backend.machine.graphics import GPU
from backend.machine.host import Recorder, Replay
from backend.machine.kernels import kernel_sets
from backend.machine.memory import Memory, available_memory, read_memory
from backend.machine.report import Machine, assume, read_machine, suppose

__all__ = [
    "CPU",
    "GPU",
    "Machine",
    "Memory",
    "Recorder",
    "Replay",
    "assume",
    "available_memory",
    "kernel_sets",
    "physical_cores",
    "read_cpu",
    "read_machine",
    "read_memory",
    "suppose",
]
