"""What the caller says of a generation, and what it gets back."""

import math
from dataclasses import dataclass, fields

from backend.errors import SternaError


@dataclass(frozen=True, slots=True)
class Sampling:
    """How the next token is chosen. The chain: repetition penalty, top-k, top-p, min-p, temperature.

    `temperature` 0 takes the likeliest token always; `top_k` 0, `top_p` 1, `min_p` 0 and
    `repeat_penalty` 1 are off. The same `seed` gives the same text; without one it is drawn and
    reported. `max_tokens` None: until the model stops or the context is full.
    """

    temperature: float = 0.7
    top_k: int = 40
    top_p: float = 0.95
    min_p: float = 0.05
    repeat_penalty: float = 1.0
    repeat_window: int = 64
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        limits = {
            "temperature": (0, 100),
            "top_k": (0, 2**31 - 1),
            "top_p": (0, 1),
            "min_p": (0, 1),
            "repeat_penalty": (0.01, 100),
            "repeat_window": (0, 4096),
        }
        for field in fields(self):
            value = getattr(self, field.name)
            low, high = limits.get(field.name, (None, None))
            if low is not None and not (math.isfinite(value) and low <= value <= high):
                raise SternaError(
                    "bad_argument",
                    f"{field.name} is {value}.",
                    f"Choose a value from {low} to {high}.",
                )
        if self.max_tokens is not None and self.max_tokens < 0:
            raise SternaError(
                "bad_argument", f"max_tokens is {self.max_tokens}.", "Choose 0 or more."
            )
        if any(not text for text in self.stop):
            raise SternaError("bad_argument", "A stop string is empty.", "Leave it out.")


def greatest_needed(s: Sampling) -> int:
    """Return how many of the greatest logits decide the next token; 0: all of them.

    A penalty above 1 may push as many of them aside as it looks back; one below 1 may lift any.
    """
    best = 1 if s.temperature <= 0 else s.top_k
    if not best or s.repeat_penalty < 1:
        return 0
    return best + (s.repeat_window if s.repeat_penalty > 1 else 0)


@dataclass(frozen=True, slots=True)
class Token:
    """One step of a reply.

    `text` is what can be shown by now: whole characters, and nothing that may turn out to be the
    start of a stop string; it may be empty. `logprob` is ln p under the model itself; how
    much all unlikely tokens weigh together may be estimated (see `Engine.keep`).
    """

    id: int
    text: str
    logprob: float


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """What a generation did. Times in seconds, speeds in tokens per second."""

    prompt_tokens: int
    cached_tokens: int
    completion_tokens: int
    finish_reason: str  # stop | length | cancelled
    prompt_seconds: float
    decode_seconds: float
    seed: int

    @property
    def prompt_per_second(self) -> float | None:
        """Speed over the tokens that had to be run, or None when there was nothing to measure."""
        run = self.prompt_tokens - self.cached_tokens
        return run / self.prompt_seconds if run and self.prompt_seconds > 0 else None

    @property
    def decode_per_second(self) -> float | None:
        """Speed of the reply after its first token (which the prompt pays for)."""
        steps = self.completion_tokens - 1
        return steps / self.decode_seconds if steps > 0 and self.decode_seconds > 0 else None
