"""The prepared data of a run in its folder, so that a resumed run learns the very same tokens.

A chat template may write the date of the day, and the file may be gone: what was prepared once is kept.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
import numpy.typing as npt
from datasets import Dataset

from backend.errors import SternaError
from backend.train.data.masking import Sample

_PROMPTS, _LONGEST_PROMPT = 2, 256  # tokens
IGNORED = -100  # the label of a token that is not learned


def keep(path: Path, train: Sequence[Sample], validation: Sequence[Sample]) -> None:
    """Write samples whole or not at all. Raises OSError."""
    every = [*train, *validation]
    asked = _asked([*validation, *train])
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with fresh.open("wb") as file:
            np.savez(
                file,
                ids=np.concatenate([s.ids for s in every]),
                learned=np.packbits(np.concatenate([s.learned for s in every])),
                lengths=np.array([len(s.ids) for s in every], np.int64),
                train=np.array(len(train)),
                prompts=np.array([s.asked for s in asked], np.str_),
                prompt_ids=np.concatenate([np.zeros(0, np.int32), *map(_prompt, asked)]),
                prompt_lengths=np.array([len(_prompt(s)) for s in asked], np.int64),
            )
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    finally:
        with contextlib.suppress(OSError):
            fresh.unlink()


@dataclass(frozen=True, slots=True)
class Kept:
    """What a run learns from: rows of `input_ids` and `labels`; prompts for samples, text and ids."""

    train: Dataset
    validation: Dataset | None
    prompts: list[tuple[str, list[int]]]


def load(path: Path) -> Kept:
    """Return what was kept. Raises SternaError `corrupt`."""
    try:
        with np.load(path, allow_pickle=False) as kept:
            ids, lengths = kept["ids"], kept["lengths"]
            learned = np.unpackbits(kept["learned"], count=len(ids)).astype(bool)
            count = int(kept["train"])
            asked = _cut(kept["prompt_ids"], kept["prompt_lengths"])
            prompts = list(zip(map(str, kept["prompts"]), asked, strict=True))
    except (OSError, ValueError, KeyError) as error:
        raise SternaError(
            "corrupt", f"{path} cannot be read: {error}.", "Begin a new run with this recipe."
        ) from error
    rows = [
        {"input_ids": row, "labels": labels}
        for row, labels in zip(
            _cut(ids, lengths), _cut(np.where(learned, ids, IGNORED), lengths), strict=True
        )
    ]
    held = rows[count:]
    return Kept(Dataset.from_list(rows[:count]), Dataset.from_list(held) if held else None, prompts)


def _cut(flat: npt.NDArray[np.int32], lengths: npt.NDArray[np.int64]) -> list[list[int]]:
    if not len(lengths):
        return []
    return [part.tolist() for part in np.split(flat, np.cumsum(lengths)[:-1])]


def _asked(samples: Sequence[Sample]) -> list[Sample]:
    """Return a few samples whose prompts show how the model does, held-back ones first."""
    fit = (s for s in samples if 0 < len(_prompt(s)) <= _LONGEST_PROMPT)
    return list(islice(fit, _PROMPTS))


def _prompt(sample: Sample) -> npt.NDArray[np.int32]:
    """Return what stands before the first answer."""
    return sample.ids[: int(sample.learned.argmax())]
