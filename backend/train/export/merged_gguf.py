"""A GGUF file with what was learned in its weights, quantised again as each tensor was.

What did not learn is copied byte for byte. A merge into quantised weights rounds: the file is near to base
and adapter, not the same. After a full fine-tune every tensor is new. Nothing makes codebooks (IQ2, IQ3):
what learned on top of one is written in the next wider type that can be made.
"""

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from backend import quants
from backend.errors import SternaError
from backend.gguf import GGUFFile, open_gguf
from backend.gguf.file_rows import FileRows, Files
from backend.gguf.rows import Rows, Workers
from backend.gguf.tensors import TensorInfo
from backend.gguf.writing import Blueprint, Bytes, write_gguf
from backend.progress import Meter, Report, nothing
from backend.train.export import tensors
from backend.train.export.learned import Change
from backend.train.export.target import Target
from backend.train.shape import TERNARY_TYPES
from backend.train.tensor_names import NORMS_LESS_ONE, Floats, module_of

_WIDER = {
    **dict.fromkeys(("IQ2_XXS", "IQ2_XS", "IQ2_S"), "Q3_K"),
    **dict.fromkeys(("IQ3_XXS", "IQ3_S"), "Q4_K"),
}


class MovedRows:
    """Rows of W + B A, where `old` has those of W."""

    def __init__(self, old: Rows, change: Change) -> None:
        self._old, self._change = old, change

    def read(self, first: int, count: int) -> Floats:
        """Return rows as float32 [count, cols]."""
        return self._change.rows(first, count).onto(self._old.read(first, count))

    def stored_bytes(self, count: int) -> int:
        """Return the bytes of `count` rows of the old tensor."""
        return self._old.stored_bytes(count)


class NewRows:
    """Rows of an array."""

    def __init__(self, values: Floats) -> None:
        self._values = values.reshape(-1, values.shape[-1])

    def read(self, first: int, count: int) -> Floats:
        """Return rows as float32 [count, cols]."""
        return np.ascontiguousarray(self._values[first : first + count])

    def stored_bytes(self, count: int) -> int:
        """Return the bytes of `count` rows."""
        return count * self._values.shape[-1] * 4


def write_merged(
    changes: list[Change], target: Target, base: Path, out: Path, report: Report = nothing
) -> int:
    """Write W + B A; return the file's bytes. Raises SternaError: ternary_merge, wrong_base, …"""
    moved: dict[str, Change] = {}
    for change in changes:
        tensor = target.tensor(change.module)
        moved[tensor] = _in_file_order(target.fit(change, tensor), target, tensor)
    return _rewrite(base, out, moved, report)


def write_full(
    folder: Path, target: Target, base: Path, out: Path, report: Report = nothing
) -> int:
    """Write what a full fine-tune of `base` left in `folder`; return the file's bytes."""
    learned = dict(tensors.every(folder))
    news: dict[str, Floats] = {}
    with open_gguf(base) as file:
        for name in file.tensors:
            stem, _, ending = name.rpartition(".")
            values = learned.get(f"{module_of(target.arch, stem)}.{ending}")
            if values is not None:
                more = np.float32("norm" in stem and target.arch in NORMS_LESS_ONE)
                news[name] = target.rows(f"{stem}.weight", values) + more
    return _rewrite(base, out, news, report)


def _in_file_order(change: Change, target: Target, tensor: str) -> Change:
    """Return a change whose rows are in the order of the file."""
    magnitude = change.magnitude
    if magnitude is not None:
        magnitude = target.rows(tensor, magnitude[:, None])[:, 0]
    return Change(change.module, change.a, target.rows(tensor, change.b), magnitude)


def _rewrite(
    base: Path, out: Path, news: dict[str, Change] | dict[str, Floats], report: Report
) -> int:
    with open_gguf(base) as file:
        _refuse(file, news, out)
        pairs = file.encoded_metadata()
        for key in ("split.no", "split.count", "split.tensors.count"):
            pairs.pop(key, None)
        meter = Meter(sum(t.nbytes for t in file.tensors.values()), "bytes", report)
        with Files(file.shards) as files, Workers(None, meter) as workers:

            def contents(to: Blueprint) -> Iterable[Bytes]:
                old, new = FileRows(files, file.tensors[to.name]), news.get(to.name)
                if new is None:
                    for piece in old.copy():
                        yield piece
                        meter.add(len(piece), to.name)
                    return
                rows = MovedRows(old, new) if isinstance(new, Change) else NewRows(new)
                yield from workers.run(rows, to)

            blueprints = [
                Blueprint(t.name, t.shape, _type_of(t, t.name in news))
                for t in file.tensors.values()
            ]
            return write_gguf(out, pairs, blueprints, contents, file.alignment)


def _type_of(tensor: TensorInfo, is_new: bool) -> quants.TensorType:
    name = tensor.type_name
    return quants.type_named(_WIDER.get(name, name) if is_new else name)


def _refuse(file: GGUFFile, changed: Iterable[str], out: Path) -> None:
    if out.exists() and any(out.samefile(shard) for shard in file.shards):
        raise SternaError(
            "bad_argument", "A file cannot be written over itself.", "Give another name."
        )
    for name in changed:
        info = file.tensors.get(name)
        if info is not None and info.type_name in TERNARY_TYPES:
            raise SternaError(
                "ternary_merge",
                "This base has weights of -1, 0 and 1: a merge would round away what was learned.",
                "Use the adapter beside its base (--as gguf).",
            )
