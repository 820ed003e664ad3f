"""`convert`: a checkpoint's folder to a GGUF file, tensor by tensor."""

import contextlib
import math
import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from backend import mixes, quants
from backend.gguf.card import describe
from backend.gguf.converting.checkpoint import find_files, list_tensors
from backend.gguf.converting.documents import Config
from backend.gguf.converting.families import Family, read_config
from backend.gguf.converting.numbers import hyper_parameters
from backend.gguf.converting.tensors import Made as Tensor
from backend.gguf.converting.tensors import Translation
from backend.gguf.converting.vocabulary import template_keys, tokenizer_keys
from backend.gguf.converting.whole import check_whole
from backend.gguf.file import open_gguf
from backend.gguf.file_rows import Files
from backend.gguf.quantising import QUANTISATION_VERSION, Made, known
from backend.gguf.rows import Workers
from backend.gguf.writing import (
    Blueprint,
    Bytes,
    Plain,
    encode,
    planned_bytes,
    write_gguf,
)
from backend.progress import Meter, Report, nothing

_DTYPES = {"BF16": "BF16", "F16": "F16"}  # of a checkpoint; all others are written in F32
_TERNARY = (
    "TQ2_0"  # what ternary weights are written in: without loss, and the smaller TQ1_0 on demand
)
_TABLE = "token_embd.weight"
_LICENSE = re.compile(r"^license:\s*['\"]?([\w .+-]{1,60}?)['\"]?\s*$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A checkpoint that has been looked over: its tensors as they will be, and the header but for the quant."""

    tensors: dict[str, Tensor]
    keys: dict[str, Plain | Sequence[Plain]]
    traits: mixes.Traits
    stored: int  # bytes

    @property
    def own(self) -> str:
        """The quant of a file in the checkpoint's own precision."""
        return _types(self, None)[1]

    def plan(self, quant: str | None) -> tuple[dict[str, bytes], list[Blueprint]]:
        """Return the header and the tensors of a file of this quant; None: in the own precision."""
        types, named = _types(self, quant)
        keys = self.keys | {"general.file_type": quants.file_type(named) or 0}
        blueprints = [
            Blueprint(name, tensor.shape, quants.type_named(types[name]))
            for name, tensor in self.tensors.items()
        ]
        return {key: encode(value) for key, value in keys.items()}, blueprints

    def planned_bytes(self, quant: str | None = None) -> int:
        """Return the size of the file that `convert` would write, to the byte."""
        return planned_bytes(*self.plan(quant))

    @property
    def arch(self) -> str:
        """Its architecture, as GGUF names it."""
        return self.traits.architecture

    @property
    def params(self) -> int:
        """Values of all tensors, but for constants."""
        weights = (t for name, t in self.tensors.items() if not name.startswith("rope_"))
        return sum(math.prod(tensor.shape) for tensor in weights)


@contextlib.contextmanager
def open_checkpoint(folder: str | os.PathLike[str]) -> Iterator[Checkpoint]:
    """Look a checkpoint over, its tensors readable while it is open; raises SternaError."""
    folder = Path(folder).expanduser()
    family, config = read_config(folder)
    paths = find_files(folder)
    stored = list_tensors(paths)
    with Files(paths) as files:
        tensors = {t.name: t for t in Translation(family, config, stored, files).tensors()}
        check_whole(tensors, config)
        keys: dict[str, Plain | Sequence[Plain]] = {
            **_general(folder, family),
            **hyper_parameters(family, config),
            **tokenizer_keys(folder, config, tensors[_TABLE].shape[1]),
            **template_keys(folder),
        }
        size = sum(s.nbytes for s in stored.values())
        yield Checkpoint(tensors, keys, _traits(family, config), size)


def name_of(folder: Path) -> str:
    """Return the name of a checkpoint: its folder's, or in the Hugging Face cache the repository's."""
    path = folder.expanduser().resolve()
    if path.parent.name == "snapshots" and path.parent.parent.name.startswith("models--"):
        return path.parent.parent.name.rpartition("--")[2]
    return path.name


def convert(
    folder: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    quant: str | None = None,
    threads: int | None = None,
    report: Report = nothing,
) -> Made:
    """Write the checkpoint in `folder` as a GGUF file to `out`, whole or not at all.

    Without `quant`, weights keep the precision that they have (BF16, F16 or F32), and BitNet's linear
    layers are written as the ternary weights that they are. `report` may raise to cancel. Raises
    SternaError.
    """
    out = Path(out)
    with open_checkpoint(folder) as checkpoint:
        pairs, blueprints = checkpoint.plan(known(quant) if quant else None)
        meter = Meter(checkpoint.stored, "bytes", report)
        with Workers(threads, meter) as workers:

            def contents(to: Blueprint) -> Iterator[Bytes]:
                return workers.run(checkpoint.tensors[to.name].rows, to)

            size = write_gguf(out, pairs, blueprints, contents)
        meter.finish()
    with open_gguf(out) as made:
        return Made(out, size, describe(made).bits_per_weight)


def _traits(family: Family, config: Config) -> mixes.Traits:
    heads = config.integer("num_attention_heads", least=1)
    return mixes.Traits(
        family.arch,
        config.integer("num_hidden_layers"),
        heads,
        config.integer("num_key_value_heads", heads),
        config.integer("num_local_experts", config.integer("num_experts", 0)),
    )


def _types(checkpoint: Checkpoint, quant: str | None) -> tuple[dict[str, str], str]:
    """Return the type of every tensor, and the quant that the file is named for."""
    tensors = checkpoint.tensors
    shapes = {name: mixes.Tensor(tensor.shape) for name, tensor in tensors.items()}
    if quant is not None:
        return mixes.plan(quant, checkpoint.traits, shapes), quant
    base = _own_type(tensors[_TABLE])
    types = {
        name: _own_type(tensors[name]) if type_ == base and not tensors[name].ternary else type_
        for name, type_ in mixes.plan(base, checkpoint.traits, shapes).items()
    }
    block = quants.type_named(_TERNARY).block_size
    ternary = [n for n, t in tensors.items() if t.ternary and t.shape[0] % block == 0]
    return types | dict.fromkeys(ternary, _TERNARY), _TERNARY if ternary else base


def _own_type(tensor: Tensor) -> str:
    return _DTYPES.get(tensor.dtype, "F32")


def _general(folder: Path, family: Family) -> dict[str, str | int]:
    found: dict[str, str | int] = {
        "general.architecture": family.arch,
        "general.type": "model",
        "general.name": name_of(folder),
        "general.file_type": 0,
        "general.quantization_version": QUANTISATION_VERSION,
    }
    try:
        with (folder / "README.md").open(encoding="utf-8", errors="replace") as card:
            head = card.read(20_000).split("\n---", 1)[0]
        if match := _LICENSE.search(head):
            found["general.license"] = match[1]
    except OSError:
        pass
    return found
