"""The whole machine in one record, as it is or as one asks it to be."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.machine import speeds as figures
from backend.machine.cpu import CPU, read_cpu
from backend.machine.disk import disk_free
from backend.machine.gpus import read_gpus
from backend.machine.graphics import GPU
from backend.machine.host import Host, Local
from backend.machine.memory import Memory, read_memory
from backend.machine.speeds import Speeds


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. `speeds` were measured, None until they are.

    `assumed` names what somebody gave in place of what was found: the record is then of a machine
    that may not exist.
    """

    cpu: CPU
    memory: Memory
    gpus: tuple[GPU, ...]
    disk_free: int | None
    speeds: Speeds | None
    assumed: tuple[str, ...] = ()

    @property
    def bandwidth(self) -> float | None:
        """Bytes per second that all cores read together, None until it was measured."""
        return None if self.speeds is None else self.speeds.bandwidth


def read_machine(
    host: Host | None = None,
    *,
    measure: bool = False,
    on_progress: Callable[[str], None] = lambda _: None,
) -> Machine:
    """Read everything; with `measure`, take two seconds to measure speeds unless they are known."""
    here = host is None
    host = host or Local()
    speeds = figures.measured(on_progress=on_progress) if measure else figures.known()
    memory = read_memory(host)
    found = Machine(
        cpu=read_cpu(host),
        memory=memory,
        gpus=tuple(read_gpus(host, memory)),
        disk_free=host.ask("disk", disk_free),
        speeds=speeds,
    )
    return assume(found, **_supposed) if here else found


_supposed: dict[str, int | None] = {}


def suppose(*, ram: int | None = None, vram: int | None = None) -> None:
    """Let each later reading of this computer be as if so much memory were free; nothing: as it is.

    It is for looking at another machine. What a model may really take when it is loaded stays what it is.
    """
    _supposed.update(ram=ram, vram=vram)


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
