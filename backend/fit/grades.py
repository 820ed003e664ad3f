"""Where a quant stands in the ladder, whatever its maker calls it."""

from dataclasses import dataclass

from backend.fit.rules import rules
from backend.quants import QUANTS, Quant

_ORDER = {name: place for place, name in enumerate(QUANTS)}
_FLOATS = ("F32", "BF16", "F16")


@dataclass(frozen=True, slots=True)
class Grade:
    """A quant's place: `rank` 0 is the best. `like` is the entry of the table that it is judged by."""

    rank: int
    like: Quant
    last_resort: bool
    floating: bool
    native: bool

    @property
    def loss(self) -> str:
        """The loss in words."""
        if self.native:
            return "none: as trained"
        return "not known" if self.like.loss == "as trained" else self.like.loss


def grade(name: str, bits: float | None = None, *, native: bool = False) -> Grade:
    """Return the place of a quant. One that the table lacks is judged by its name, then by its bits.

    `native`: the model was trained with these bits, so nothing was lost.
    """
    plain = name.upper().removeprefix("UD-").replace("-", "_")
    like = next((QUANTS[n] for n in _readings(plain) if n in QUANTS), None)
    if like is None:
        by_bits = [q for q in QUANTS.values() if q.loss != "as trained"]
        like = min(by_bits, key=lambda q: abs(q.bits - (bits or 4.89)))
    low = plain.startswith(rules().last_resort.prefixes) or like.name.startswith(
        rules().last_resort.prefixes
    )
    if not native and like.loss == "as trained" and low:
        like = QUANTS["IQ1_S"]  # ternary by compression alone: hardly a model any more
    return Grade(
        rank=0 if native else _ORDER[like.name],
        like=like,
        last_resort=low and not native,
        floating=plain in _FLOATS,
        native=native,
    )


def _readings(name: str) -> list[str]:
    """Return the names that a maker's name may stand for, nearest first: Q4_K_XL is at least Q4_K_M."""
    stem, _, last = name.rpartition("_")
    found = [name]
    if last in ("XL", "XXL", "L", "P") and stem:
        found += [f"{stem}_M", f"{stem}_L", f"{stem}_S", stem]
    if "_" not in name.removeprefix("IQ").removeprefix("Q"):
        found += [f"{name}_K_M", f"{name}_0"]
    found += [f"{name}_M", f"{name}_S"]  # Q4_K alone
    return found
