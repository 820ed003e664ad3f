"""A Hub on loopback: real HTTP, the protocol that huggingface_hub speaks, and every misbehaviour on demand."""

from loopback_hub.faults import (
    Fault,
    drop,
    flip,
    gzipped,
    header,
    ignore_range,
    other_content,
    short,
    stall,
    status,
    wrong_total,
)
from loopback_hub.repos import Repo, pseudo_random
from loopback_hub.server import LoopbackHub

__all__ = [
    "Fault",
    "LoopbackHub",
    "Repo",
    "drop",
    "flip",
    "gzipped",
    "header",
    "ignore_range",
    "other_content",
    "pseudo_random",
    "short",
    "stall",
    "status",
    "wrong_total",
]
