"""A smaller file of a model: every tensor in the type that the quant's mix says.

Pieces of a tensor are read, quantised by several threads, and written in order; at no time are more
than a few pieces in memory. Metadata and tokenizer stay as they are, byte by byte.
"""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from backend import mixes, quants
from backend.errors import SternaError
from backend.files import check_place
from backend.gguf import writing
from backend.gguf.card import describe, require_model
from backend.gguf.file import GGUFFile, open_gguf
from backend.gguf.file_rows import FileRows, Files
from backend.gguf.imatrix import Importance
from backend.gguf.rows import Workers
from backend.gguf.tensors import TensorInfo
from backend.gguf.writing import Blueprint, Bytes, encode, write_gguf
from backend.progress import Meter, Report, nothing

_PLAIN = ("F32", "F16", "BF16")
TERNARY = ("I2_S", "TQ1_0", "TQ2_0")
QUANTISATION_VERSION = 2  # of ggml
_PART = re.compile(r"-\d{5}-of-\d{5}$")
_QUANT = re.compile(r"[-._](I?Q\d\w*|TQ\d_0|MXFP4|B?F16|F32|FP16|FP32)$", re.IGNORECASE)
# Codebooks at three bits and less: there is no quantiser for them.
_NOT_MADE = ("IQ1", "IQ2", "IQ3")


@dataclass(frozen=True, slots=True)
class Made:
    """A file that was written."""

    path: Path
    bytes: int
    bits_per_weight: float


def makeable() -> tuple[str, ...]:
    """Return the quants that can be written, best first."""
    return tuple(name for name in mixes.names() if not name.startswith(_NOT_MADE))


def known(quant: str) -> str:
    """Return the name of a quant as the table writes it; raises SternaError for one that is not made."""
    name = quant.upper()
    if name in makeable():
        return name
    near = {"Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M", "Q3_K": "Q3_K_M", "FP16": "F16", "FP32": "F32"}.get(
        name
    )
    hint = f"Did you mean {near}?" if near else f"Choose from {', '.join(makeable())}."
    raise SternaError("bad_argument", f"Sterna does not write the quant {quant}.", hint)


def default_path(source: Path, quant: str, folder: Path) -> Path:
    """Return a name for the file in `folder`: that of the source, with the quant in place of its own."""
    stem = _PART.sub("", source.stem)
    stem = _QUANT.sub("", stem) or stem
    return folder / f"{stem}-{quant}.gguf"


def plan(file: GGUFFile, quant: str, *, imatrix: bool = False) -> list[Blueprint]:
    """Return the tensors of a file of this quant, in the order of the source."""
    strange = next((info for info in file.tensors.values() if not info.supported), None)
    if strange is not None:
        raise SternaError(
            "unsupported_type",
            f"Tensor {strange.name} has the type {strange.type_name}, whose size is not known.",
            "Take another file of the same model, best one in F16 or BF16.",
        )
    types = mixes.plan(quant, mixes.Traits.read(file), file.tensors, imatrix=imatrix)
    return [
        Blueprint(name, info.shape, quants.type_named(types[name]))
        for name, info in file.tensors.items()
    ]


def planned_bytes(file: GGUFFile, quant: str) -> int:
    """Return the size of the file that `quantise` would write, to the byte."""
    return writing.planned_bytes(_metadata(file, quant, None), plan(file, quant), file.alignment)


def quantise(
    source: str | os.PathLike[str],
    quant: str,
    out: str | os.PathLike[str],
    *,
    importance: Importance | None = None,
    requantise: bool = False,
    threads: int | None = None,
    report: Report = nothing,
) -> Made:
    """Write `source` in another quant to `out`, whole or not at all.

    A source that is quantised already is refused unless `requantise`: the losses of both would add
    up. `report` hears of every step and may raise to cancel. Raises SternaError.
    """
    quant, out = known(quant), Path(out)
    with open_gguf(source) as file:
        blueprints = _checked(file, quant, out, importance is not None, requantise)
        pairs = _metadata(file, quant, importance)
        meter = Meter(sum(t.nbytes for t in file.tensors.values()), "bytes", report)
        with Files(file.shards) as files, Workers(threads, meter) as workers:

            def contents(to: Blueprint) -> Iterator[Bytes]:
                return _contents(files, file.tensors[to.name], to, workers, importance, meter)

            size = write_gguf(out, pairs, blueprints, contents, file.alignment)
    with open_gguf(out) as made:
        return Made(out, size, describe(made).bits_per_weight)


def check(
    source: str | os.PathLike[str],
    quant: str,
    out: str | os.PathLike[str],
    *,
    requantise: bool = False,
) -> None:
    """Raise the SternaError that `quantise` would begin with: for work that must be done before it."""
    with open_gguf(source) as file:
        blueprints = _checked(file, known(quant), Path(out), False, requantise)
        metadata = _metadata(file, known(quant), None)
        check_place(Path(out), writing.planned_bytes(metadata, blueprints, file.alignment))


def _checked(
    file: GGUFFile, quant: str, out: Path, imatrix: bool, requantise: bool
) -> list[Blueprint]:
    """Return the plan of a file that may be quantised; raises SternaError."""
    require_model(file)
    _refuse_self(file, out)
    blueprints = plan(file, quant, imatrix=imatrix)
    if not requantise:
        _refuse_quantised(file, blueprints)
    return blueprints


def _contents(
    files: Files,
    info: TensorInfo,
    to: Blueprint,
    workers: Workers,
    importance: Importance | None,
    meter: Meter,
) -> Iterator[Bytes]:
    """Yield the bytes of a tensor in its new type."""
    rows = FileRows(files, info)
    if info.type_name != to.type.name:
        weights = importance.of(info.name, info.shape) if importance else None
        yield from workers.run(rows, to, weights)
        return
    for piece in rows.copy():
        yield piece
        meter.add(len(piece), info.name)


def _metadata(file: GGUFFile, quant: str, importance: Importance | None) -> dict[str, bytes]:
    pairs = file.encoded_metadata()
    for key in ("split.no", "split.count", "split.tensors.count"):
        pairs.pop(key, None)
    pairs["general.file_type"] = encode(quants.file_type(quant) or 0)
    pairs["general.quantization_version"] = encode(QUANTISATION_VERSION)
    if importance is not None:
        pairs |= importance.told()
    return pairs


def _refuse_self(file: GGUFFile, out: Path) -> None:
    if out.exists() and any(out.samefile(shard) for shard in file.shards):
        raise SternaError(
            "bad_argument", "A file cannot be written over itself.", "Give another name."
        )


def _refuse_quantised(file: GGUFFile, blueprints: list[Blueprint]) -> None:
    info = lossy(file, blueprints)
    if info is not None:
        raise SternaError(
            "already_quantised",
            f"{file.path.name} is quantised already ({info.name} is {info.type_name}): "
            "its loss and a new one would add up.",
            "Take a file in F16, BF16 or F32; or insist with --requantize.",
        )


def lossy(file: GGUFFile, blueprints: list[Blueprint]) -> TensorInfo | None:
    """Return a tensor that was quantised already and would be again, if there is one."""
    for to in blueprints:
        info = file.tensors[to.name]
        copied = info.type_name == to.type.name
        ternary = info.type_name in TERNARY and to.type.name in TERNARY  # the same weights
        if not (copied or ternary or info.type_name in _PLAIN):
            return info
    return None
