"""What a mix asks of a model: a few numbers, and the shapes of its tensors."""

from dataclasses import dataclass
from typing import Protocol


class Stored(Protocol):
    """A tensor as a header lists it; shape[0] is the length of a row."""

    @property
    def shape(self) -> tuple[int, ...]: ...

    @property
    def type_name(self) -> str: ...


class Fields(Protocol):
    """Metadata of a file, by type."""

    def string(self, key: str, default: str | None = None) -> str | None: ...

    def integer(self, key: str, default: int | None = None) -> int | None: ...

    def integers(self, key: str) -> list[int]: ...


@dataclass(frozen=True, slots=True)
class Tensor:
    """A tensor that is in no file yet."""

    shape: tuple[int, ...]
    type_name: str = "F32"


@dataclass(frozen=True, slots=True)
class Traits:
    """What the mixes ask of a model."""

    architecture: str
    layers: int
    heads: int
    kv_heads: int
    experts: int = 0

    @classmethod
    def read(cls, fields: Fields) -> "Traits":
        """Return the traits that a header tells; 0 where it does not say."""
        arch = fields.string("general.architecture", "") or ""

        def first(key: str, default: int) -> int:
            listed = fields.integers(f"{arch}.{key}")
            value = listed[0] if listed else fields.integer(f"{arch}.{key}", default)
            return value or 0

        heads = first("attention.head_count", 0)
        return cls(
            arch,
            first("block_count", 0),
            heads,
            first("attention.head_count_kv", heads),
            first("expert_count", 0),
        )

    @property
    def grouped(self) -> bool:
        """At least four heads share a key and value, so that their matrices are small."""
        return self.kv_heads > 0 and self.heads // self.kv_heads >= 4

    @property
    def is_70b(self) -> bool:
        """One of the large models whose value matrices are an eighth of the query's."""
        if self.architecture == "llama":
            return self.layers == 80 and self.heads != self.kv_heads
        return self.layers == {"qwen2": 80, "deci": 80, "jais2": 68}.get(self.architecture)
