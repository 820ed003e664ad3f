"""How fast."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Speed:
    """Tokens per second of a prompt and of an answer; `band` is the error of both, as a share.

    `measured`: by real runs of this very shape here, not predicted.
    """

    prompt: float
    answer: float
    band: float
    measured: bool = False
