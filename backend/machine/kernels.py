"""Which of the engine's kernel sets this processor runs."""

from backend.errors import SternaError
from ext import cpu


def kernel_sets() -> tuple[str, list[str]]:
    """Return the set in use and all that run here, fastest first."""
    try:
        return cpu.isa(), cpu.available()
    except ValueError as error:
        raise SternaError(
            "bad_argument", f"{error}.", "Unset STERNA_ISA, or name one of those."
        ) from error
