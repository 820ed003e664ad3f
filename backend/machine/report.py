"""The whole machine in one record, as it is or as one asks it to be."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from backend import settings
from backend.errors import SternaError
from backend.machine import speeds as figures
from backend.machine.cpu import CPU, read_cpu
from backend.machine.disk import disk_free
from backend.machine.gpus import read_gpus
from backend.machine.graphics import GPU
from backend.machine.host import Host, Local
from backend.machine.memory import Memory, read_memory
from backend.machine.speeds import Speeds
from backend.units import parse_bytes


@dataclass(frozen=True, slots=True)
class Machine:
    """What was found. `speeds` were measured, None until they are.

    `assumed` names what somebody gave in place of what was found: the record is then of a machine
    that may not exist. `set_right` names what the settings say in place of what the probes do.
    """

    cpu: CPU
    memory: Memory
    gpus: tuple[GPU, ...]
    disk_free: int | None
    speeds: Speeds | None
    assumed: tuple[str, ...] = ()
    set_right: tuple[str, ...] = ()

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
    """Read everything; with `measure`, take a few seconds to measure speeds unless they are known."""
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
    return _in_place_of(found) if here else found


_supposed: dict[str, int | None] = {}


def _in_place_of(found: Machine) -> Machine:
    """Return what is supposed in place of what was found, else what the settings set right."""
    given = {name: size for name, size in _supposed.items() if size is not None}
    if given:
        return assume(found, **given)
    right = _from_settings()
    told = assume(found, **right)
    total = max(found.memory.total, told.memory.total)
    memory = replace(told.memory, total=total, probe=_SETTINGS) if "ram" in right else found.memory
    gpus = tuple(replace(gpu, probe=_SETTINGS) for gpu in told.gpus)
    return replace(
        found,
        memory=memory,
        gpus=gpus if "vram" in right else found.gpus,
        set_right=tuple(right),
    )


_SETTINGS = "set in [machine] of the settings"


def _from_settings() -> dict[str, int]:
    """Return the sizes that the settings give; settings that are wrong give none."""
    try:
        wish = settings.load().machine
    except SternaError:
        return {}
    return {
        name: parse_bytes(text) for name, text in (("ram", wish.ram), ("vram", wish.vram)) if text
    }


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
