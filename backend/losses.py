"""What quants of a model lose, as it was measured here by texts of the person's own.

A line for each measurement, added by any process, whole. A model is known by its architecture, its name and
its number of parameters, which all of its quants share.
"""

import contextlib
import os
from pathlib import Path

import msgspec

from backend import paths
from backend.gguf import ModelCard

_PRECISE = ("F32", "BF16", "F16")


class Loss(msgspec.Struct, kw_only=True):
    """One measurement of a quant against the model in full or half precision.

    `rise` of perplexity in percent, `divergence` the mean of Kullback and Leibler's in nats, `agreement`
    the share of tokens of which both choose the same, over so many `tokens` of the text `text`.
    """

    at: float
    model: str
    quant: str
    rise: float
    divergence: float
    agreement: float
    tokens: int
    text: str


def model_key(arch: str, name: str, params: int) -> str:
    """Return what all quants of a model share."""
    return f"{arch}/{params}/{name}"


def key_of(card: ModelCard) -> str:
    """Return the key of a file."""
    return model_key(card.arch, card.name, card.params)


def tells_loss(card: ModelCard, against: ModelCard) -> bool:
    """Whether one is a quant of the other, which is there in full or half precision."""
    same = key_of(card) == key_of(against)
    return same and against.quant in _PRECISE and card.quant not in _PRECISE


def note(loss: Loss) -> None:
    """Keep a measurement; failing to is no reason to stop."""
    with contextlib.suppress(OSError):
        _file().parent.mkdir(parents=True, exist_ok=True)
        descriptor = os.open(_file(), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(descriptor, msgspec.json.encode(loss) + b"\n")  # one write: lines never mix
        finally:
            os.close(descriptor)


def measured(key: str) -> dict[str, Loss]:
    """Return the last measurement of each quant of a model."""
    found = {}
    with contextlib.suppress(OSError):
        for line in _file().read_bytes().splitlines():
            with contextlib.suppress(msgspec.MsgspecError):  # a line cut by a full disk
                loss = msgspec.json.decode(line, type=Loss)
                if loss.model == key:
                    found[loss.quant] = loss
    return found


def _file() -> Path:
    return paths.data_dir() / "losses.jsonl"
