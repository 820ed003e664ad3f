"""The whole machine in one record, as it is or as one asks it to be."""

from dataclasses import dataclass, replace

from backend.machine import bandwidth
from backend.machine.cpu import CPU, read_cpu
from backend.machine.disk import disk_free
from backend.machine.gpus import read_gpus
from backend.machine.graphics import GPU
from backend.machine.host import Host, Local
from backend.machine.memory import Memory, read_memory


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. `bandwidth` is bytes per second, None until it was measured.

    `assumed` names what somebody gave in place of what was found: the record is then of a machine
    that may not exist.
    """

    cpu: CPU
    memory: Memory
    gpus: tuple[GPU, ...]
    disk_free: int | None
    bandwidth: float | None
    assumed: tuple[str, ...] = ()


def read_machine(host: Host | None = None, *, measure: bool = False) -> Machine:
    """Read everything; with `measure`, take a second to measure bandwidth unless it is known."""
    host = host or Local()
    rate = bandwidth.known()
    if rate is None and measure:
        rate = bandwidth.measured()
    memory = read_memory(host)
    return Machine(
        cpu=read_cpu(host),
        memory=memory,
        gpus=tuple(read_gpus(host, memory)),
        disk_free=host.ask("disk", disk_free),
        bandwidth=rate,
    )


def assume(machine: Machine, *, ram: int | None = None, vram: int | None = None) -> Machine:
    """Return the machine as it would be with so many bytes of memory free, on itself and on its GPU.

    A `vram` of 0 is a machine without a GPU.
    """
    names = list(machine.assumed)
    if ram is not None:
        names.append("ram")
        machine = replace(machine, memory=Memory(ram, ram, 0, 0, "given"))
    if vram is not None:
        names.append("vram")
        gpu = GPU("GPU as given", "any", vram, vram, "given")
        machine = replace(machine, gpus=(gpu,) if vram else ())
    return replace(machine, assumed=tuple(dict.fromkeys(names)))
