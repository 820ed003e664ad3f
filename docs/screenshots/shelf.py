"""A Hub on loopback with the models that Sterna offers to begin with, for a picture of mode Hub.

Names, licences, shapes and quants are the published ones, and files are as long as such files are, but they
are holes behind a true header. Nobody counts here how often they are fetched or liked: the Hub would.
"""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parents[2] / "tests" / "support"))

SHOWN = "Qwen3 4B"  # the one that is opened: only its files are as long as they are


@contextmanager
def stocked(folder: Path) -> Iterator[str]:
    """Run the Hub; yield its endpoint."""
    from loopback_hub import LoopbackHub, Repo

    from backend import picks

    with LoopbackHub() as hub:
        for place, pick in enumerate(picks.picks()):
            files: dict[str, Any] = {}
            for quant in pick.quants:
                name = f"{pick.repo.rpartition('/')[2].removesuffix('-GGUF')}-{quant}.gguf"
                files[name] = _file(folder / name, pick, quant) if pick.name == SHOWN else b""
            facts = {"total": picks.model_of(pick).params, "architecture": pick.shape.arch}
            tags = ("bitnet",) if pick.shape.arch.startswith("bitnet") else ()
            trending = 100 if pick.name == SHOWN else 50 - place
            licence = pick.license.lower()
            hub.add(
                Repo(pick.repo, files, trending=trending, license=licence, gguf=facts, tags=tags)
            )
        yield hub.endpoint


def _file(path: Path, pick: Any, quant: str) -> Path:
    from backend import picks
    from backend.fit import Offer, as_offered
    from backend.gguf.writing import ALIGNMENT, Blueprint, encode, layout, planned_bytes
    from backend.quants import type_named

    model = as_offered(picks.model_of(pick), Offer(quant))[0]
    pairs = {key: encode(value) for key, value in picks.model_of(pick).metadata.items()}
    tensors = [Blueprint(t.name, t.shape, type_named(t.type_name)) for t in model.tensors.values()]
    path.write_bytes(layout(pairs, tensors, ALIGNMENT))
    os.truncate(path, planned_bytes(pairs, tensors))
    return path
