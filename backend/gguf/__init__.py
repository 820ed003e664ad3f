"""GGUF in and out. Reading is our own: fast, memory-mapped, and safe on any bytes."""

from backend.gguf.card import ModelCard, describe
from backend.gguf.file import GGUFFile, open_gguf
from backend.gguf.header import Header, TensorInfo, Value, read_header

__all__ = [
    "GGUFFile",
    "Header",
    "ModelCard",
    "TensorInfo",
    "Value",
    "describe",
    "open_gguf",
    "read_header",
]
