"""What no two machines share, held still: the clock, RAM and the processor. All else is real."""

from tui.sources import Sources
from tui.state import Memory

NOW = 1_800_000_000.0


def frozen(**changes) -> Sources:
    """Return sources with a clock that stands still and a machine that never changes."""
    facts = {
        "memory": lambda: Memory(used=5_200_000_000, total=15_600_000_000),
        "processor": lambda: "8 cores AVX-512",
        "now": lambda: NOW,
        "hash_loose": False,
    }
    return Sources(**(facts | changes))
