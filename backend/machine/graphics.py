"""What is known of a graphics processor."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class GPU:
    """A graphics processor, or a part of one that is lent out (MIG).

    `total` and `free` are the bytes that a model could have on it, None when no probe knows. With
    `shared` they are part of the computer's own memory, and not to be counted beside it.
    """

    name: str
    vendor: str
    total: int | None
    free: int | None
    probe: str
    shared: bool = False
