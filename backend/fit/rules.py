"""The golden rules and the roles of quants, from `assets/rules.toml`, typed and checked."""

import tomllib
from functools import cache

import msgspec

from backend import paths


class SizeClass(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models of a size, and the quant to take when it fits."""

    name: str
    ideal: str
    why: str
    below: float = float("inf")
    sources: tuple[str, ...] = ()


class Plenty(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """When more than the ideal quant is taken."""

    share: float
    tokens_per_second: float
    why: str


class Speed(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is taken where speed comes first."""

    ideal: str
    why: str
    sources: tuple[str, ...]


class Quality(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What is said where quality comes first."""

    why: str


class LastResort(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The zip effect."""

    prefixes: tuple[str, ...]
    offer: str
    warning: str
    sources: tuple[str, ...]


class Native(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Models trained with few bits."""

    ternary: str
    other: str
    sources: tuple[str, ...]


class Rules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The whole file."""

    sources: dict[str, str]
    classes: tuple[SizeClass, ...]
    plenty: Plenty
    speed: Speed
    quality: Quality
    roles: dict[str, str]
    last_resort: LastResort
    native: Native
    names: dict[str, str | list[str]]

    def size_class(self, params: int) -> SizeClass:
        """Return the class of a model with so many parameters."""
        return next(c for c in self.classes if params < c.below)


@cache
def rules() -> Rules:
    """Return the rules that ship with Sterna."""
    with paths.asset("rules.toml").open("rb") as file:
        return msgspec.convert(tomllib.load(file), Rules)


def explain(quant: str) -> list[str]:
    """Return what the parts of a quant's name mean, a sentence each."""
    name = quant.upper().removeprefix("UD-").replace("-", "_")
    told = rules().names
    parts = name.split("_")
    keys = []
    if name.startswith(("TQ", "I2_S", "TL")):
        keys = ["TQ"]
    elif name.startswith(("F", "BF")):
        keys = ["F"]
    else:
        keys.append("IQ" if name.startswith("IQ") else "Q")
        keys += [part for part in parts[1:] if part in ("K", "S", "M", "L", "XL")]
        keys += ["0"] if parts[-1] in ("0", "1") and name != "Q8_0" else []
    return [str(told[key]) for key in keys if key in told]
