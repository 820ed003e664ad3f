"""Why a child engine died, as far as the system tells."""

import signal
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from backend.errors import SternaError


@dataclass(frozen=True, slots=True)
class Evidence:
    """What was known when the engine started: the system's count of memory kills, None if it keeps none."""

    memory_kills: int | None = None

    @classmethod
    def now(cls) -> "Evidence":
        """Take it."""
        with suppress(OSError, ValueError):
            for line in Path("/proc/vmstat").read_text(encoding="ascii").splitlines():
                if line.startswith("oom_kill "):
                    return cls(int(line.split()[1]))
        return cls()


def explain(code: int, before: Evidence, log_file: Path) -> SternaError:
    """Return what to tell the user. `code` is the exit code, or the negated signal."""
    log = f"Its output is in {log_file}."
    if code >= 0:
        return SternaError("engine_crashed", f"The engine ended by itself (code {code}).", log)
    if -code == signal.SIGKILL:
        return _killed(before)
    try:
        name = signal.strsignal(-code) or f"signal {-code}"
    except ValueError:
        name = f"signal {-code}"
    return SternaError(
        "engine_crashed", f"The engine crashed ({name.lower()}).", f"Load the model again. {log}"
    )


def _killed(before: Evidence) -> SternaError:
    after = Evidence.now()
    if before.memory_kills is not None and after.memory_kills == before.memory_kills:
        # The system counts its memory kills and counted none, but a container's limit may be counted
        # elsewhere: so it is only less likely.
        return SternaError(
            "engine_killed",
            "The engine was killed from outside (signal 9).",
            "If nobody did that, memory ran out: try a shorter context or a smaller model.",
        )
    return SternaError(
        "out_of_memory",
        "The engine was killed, most likely because memory ran out.",
        "Close other programs, load it with a shorter context, or take a smaller model.",
    )
