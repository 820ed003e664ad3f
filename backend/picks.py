"""What to begin with on a computer without models: three that fit it, from `assets/picks.toml`."""

import tomllib
from dataclasses import dataclass
from functools import cache

import msgspec

from backend import advice, paths
from backend.fit import Candidate, Model, Offer, Shape, Use, as_offered, shaped, weights_per_token
from backend.machine import Machine

SHOWN = 3
_QUICK = 5.0  # tokens a second: slower ones are for people with patience
_ROOMY = 0.5  # of the free memory, where nobody knows the speed
LINE = 12.5e6  # bytes a second: a line of 100 Mbit/s, for which times are told


class Pick(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A model of the Hub, what it is good for, and the quants that its repository offers."""

    name: str
    repo: str
    license: str
    quants: tuple[str, ...]
    about: str
    shape: Shape


@dataclass(frozen=True, slots=True)
class Picked:
    """A pick on a machine, in the quant to take of it. `bytes` are those of its file."""

    pick: Pick
    candidate: Candidate
    bytes: int

    @property
    def seconds(self) -> float:
        """How long the download takes on a line of 100 Mbit/s."""
        return self.bytes / LINE

    @property
    def reference(self) -> str:
        """What `sterna pull` takes."""
        return f"{self.pick.repo}:{self.candidate.quant}"


@cache
def picks() -> tuple[Pick, ...]:
    """Return the picks that ship with Sterna, the smallest first."""
    with paths.asset("picks.toml").open("rb") as file:
        return msgspec.convert(tomllib.load(file)["picks"], tuple[Pick, ...])


@cache
def model_of(pick: Pick) -> Model:
    """Return the model, without a file of it."""
    return shaped(pick.shape)


def fitting(machine: Machine, use: Use | None = None) -> list[Picked]:
    """Return every pick that fits in a quant that is no last resort, the smallest first."""
    found = []
    for pick in picks():
        model = model_of(pick)
        told = advice.advise(model, [Offer(q) for q in pick.quants], machine, use or Use())
        chosen = told.recommendation.chosen
        if chosen is not None and not chosen.grade.last_resort and told.runs:
            found.append(Picked(pick, chosen, as_offered(model, chosen.offer)[0].file_bytes))
    return found


def choose(machine: Machine, use: Use | None = None) -> list[Picked]:
    """Return at most three: the largest that is quick here, a ternary one, and the next ones below."""
    found = fitting(machine, use)
    quick = [p for p in found if _is_quick(p.candidate, machine)] or found[:1]
    if not quick:
        return []
    chosen = [quick[-1]]
    chosen += [p for p in quick if p.candidate.grade.native and p not in chosen][:1]
    chosen += [p for p in reversed(quick) if p not in chosen]
    chosen += [p for p in found if p not in chosen]
    return sorted(chosen[:SHOWN], key=found.index)


def unmeasured(found: list[Picked]) -> tuple[str, ...]:
    """Return the tensor types that were never tried on this machine, so that a speed is missing."""
    types: set[str] = set()
    for picked in found:
        if picked.candidate.speed is None:
            made = as_offered(model_of(picked.pick), picked.candidate.offer)[0]
            types |= weights_per_token(made).keys()
    return tuple(sorted(types))


def _is_quick(c: Candidate, machine: Machine) -> bool:
    """Whether it answers as fast as one reads; by bandwidth or by size, where nothing better is known."""
    if c.speed is not None:
        return c.speed.answer >= _QUICK
    if machine.bandwidth:
        return machine.bandwidth >= _QUICK * c.needs.weights
    return c.needs.total <= _ROOMY * machine.memory.available
