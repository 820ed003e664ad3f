"""Adapters as side paths of an engine's steps: set, scaled and taken away without touching the base."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.inference.adapters import MAX_RANKS, Adapter, Pair
from backend.inference.building import Place
from ext.engine import Engine

_GROUP = 16  # rows that the engine's side paths interleave

Floats = npt.NDArray[np.floating]


@dataclass(frozen=True, slots=True)
class _Side:
    """What `Engine.set_side` takes, for one step."""

    step: int
    down: Floats
    factors: npt.NDArray[np.float32]
    ups: list[tuple[int, Floats] | None]


def put(
    engine: Engine, places: dict[str, list[Place]], adapters: list[tuple[Adapter, float]]
) -> None:
    """Let the engine run with these adapters, each times its scale, and with no others.

    Everything is prepared before anything changes. Raises SternaError when the ranks on one tensor are
    too many.
    """
    sides = [_side(step, targets, adapters) for step, targets in _by_step(places, adapters).items()]
    engine.clear_sides()
    for side in sides:
        engine.set_side(side.step, side.down, side.factors, side.ups)


def _by_step(
    places: dict[str, list[Place]], adapters: list[tuple[Adapter, float]]
) -> dict[int, list[tuple[str, Place]]]:
    """Return the tensors that are changed in each step, with their places in it."""
    names = {name: None for adapter, _ in adapters for name in adapter.pairs}
    steps: dict[int, list[tuple[str, Place]]] = {}
    for name in names:
        for place in places[name]:
            steps.setdefault(place.step, []).append((name, place))
    return steps


def _side(
    step: int, targets: list[tuple[str, Place]], adapters: list[tuple[Adapter, float]]
) -> _Side:
    ups: list[tuple[int, Floats] | None] = [None] * targets[0][1].outputs
    downs: list[Floats] = []
    factors: list[npt.NDArray[np.float32]] = []
    stacked: dict[str, tuple[int, Floats]] = {}
    ranks = 0
    # As exact as the files: activations in 8 bits amplify what half precision would round.
    exact = any(a.pairs[name].exact for name, _ in targets for a, _ in adapters if name in a.pairs)
    for name, place in targets:
        if name not in stacked:
            # Of a fused matrix every output is a part, and A is theirs together.
            first, columns = ranks, []
            for adapter, scale in adapters:
                pair = adapter.pairs.get(name)
                if pair is not None:
                    down, up, factor = _as_halves(pair)
                    downs.append(down)
                    columns.append(up)
                    factors.append(np.full(len(down), factor * scale, np.float32))
                    ranks += len(down)
            stacked[name] = first, np.concatenate(columns, axis=1)
        first, up = stacked[name]
        ups[place.output] = first, _interleave(up[place.first : place.first + place.rows], exact)
    if ranks > MAX_RANKS:
        raise SternaError(
            "bad_argument",
            f"The adapters have {ranks} ranks on {targets[0][0]} together, and {MAX_RANKS} can be had.",
            "Take fewer adapters, or merge one into the model.",
        )
    down = np.concatenate(downs).astype(np.float32 if exact else np.float16)
    if targets[0][1].table:
        down = np.ascontiguousarray(down.T)
    return _Side(step, down, np.concatenate(factors), ups)


def _as_halves(pair: Pair) -> tuple[Floats, Floats, float]:
    """Return A and B of a size that half precision holds to 11 bits, and the factor that makes up for it."""
    down, up = (2.0 ** np.floor(np.log2(np.abs(m).max() or 1.0)) for m in (pair.down, pair.up))
    return pair.down / np.float32(down), pair.up / np.float32(up), pair.factor * float(down * up)


def _interleave(up: Floats, exact: bool) -> Floats:
    """[rows, ranks] to [rows / 16, ranks, 16], rows filled up with zeros."""
    rows, ranks = up.shape
    filled = np.zeros((-(-rows // _GROUP) * _GROUP, ranks), np.float32 if exact else np.float16)
    filled[:rows] = up
    return np.ascontiguousarray(filled.reshape(-1, _GROUP, ranks).transpose(0, 2, 1))
