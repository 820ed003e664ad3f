"""What no two machines share, held still: the clock, RAM, the processor and its speeds. All else is real."""

from backend.machine import CPU, Machine, Memory
from backend.machine.speeds import Speeds
from tui.sources import Sources
from tui.state import Memory as Seen

NOW = 1_800_000_000.0
SPEEDS = Speeds(
    version=1, cpu="Frozen 8-core", isa="avx512", threads=8, at=NOW - 7200, bandwidth=40e9,
    one={"Q4_K": 60e9, "Q5_K": 50e9, "Q6_K": 45e9, "Q8_0": 35e9, "TQ2_0": 120e9, "F32": 9e9, "F16": 18e9, "head Q6_K": 70e9},
    many={"Q4_K": 400e9, "Q5_K": 390e9, "Q6_K": 380e9, "Q8_0": 420e9, "TQ2_0": 600e9, "F32": 90e9, "F16": 180e9},
    normalise=1e-9, turn=0.0, layer=4e-6, normalise_many=0.0, turn_many=0.0, choose=2e-9, attend_bytes=30e9, attend_one=100e9, attend_many=80e9, spread=0.02,
)  # fmt: skip


def machine() -> Machine:
    """Return a machine with 15.6 GB of memory, 10.4 free, and no GPU."""
    return Machine(
        cpu=CPU("Frozen 8-core", 8, 16, 8, ("avx2", "fma", "avx512f", "avx512_vnni"), (), "/proc/cpuinfo"),
        memory=Memory(15_600_000_000, 10_400_000_000, 0, 0, "psutil"),
        gpus=(),
        disk_free=81_300_000_000,
        speeds=SPEEDS,
    )  # fmt: skip


def frozen(**changes) -> Sources:
    """Return sources with a clock that stands still and a machine that never changes."""
    facts = {
        "memory": lambda: Seen(used=5_200_000_000, total=15_600_000_000),
        "resident": lambda _: 96_000_000,
        "processor": lambda: "8 cores AVX-512",
        "hardware": machine,
        "measure": False,
        "now": lambda: NOW,
        "hash_loose": False,
    }
    return Sources(**(facts | changes))
