"""How a model is to be used."""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.fit.cache import KV_TYPES

USUAL_CONTEXT = 4096  # tokens that a file must have room for, unless somebody asks for more
PREFERENCES = ("balance", "speed", "quality")


@dataclass(frozen=True, slots=True)
class Use:
    """Tokens of context (None: the usual), type of the KV cache (auto: the engine's choice), and what
    comes first.
    """

    context: int | None = None
    kv: str = "auto"
    prefer: str = "balance"

    def __post_init__(self) -> None:
        if self.context is not None and not 0 < self.context < 1 << 31:
            raise SternaError(
                "bad_argument", f"A context of {self.context} is not possible.", "Give 1 or more."
            )
        if self.kv != "auto" and self.kv not in KV_TYPES:
            raise SternaError(
                "bad_argument",
                f"The KV cache cannot be {self.kv}.",
                f"Choose auto or one of {', '.join(KV_TYPES)}.",
            )
        if self.prefer not in PREFERENCES:
            raise SternaError(
                "bad_argument",
                f"{self.prefer!r} cannot come first.",
                f"Choose one of {', '.join(PREFERENCES)}.",
            )

    def tokens(self, most: int) -> int:
        """Return the context to reckon with, for a model that was made for `most` tokens."""
        return self.context or min(USUAL_CONTEXT, most)
