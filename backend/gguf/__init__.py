"""GGUF in and out. Reading is our own: fast, memory-mapped, and safe on any bytes."""

from backend.gguf.card import ModelCard, bytes_by_type, describe, fingerprint, require_model
from backend.gguf.contents import GGUFContents
from backend.gguf.cursor import IncompleteHeaderError
from backend.gguf.file import GGUFFile, open_gguf
from backend.gguf.header import Header, read_header
from backend.gguf.metadata import Metadata, Value
from backend.gguf.tensors import TensorInfo

__all__ = [
    "GGUFContents",
    "GGUFFile",
    "Header",
    "IncompleteHeaderError",
    "Metadata",
    "ModelCard",
    "TensorInfo",
    "Value",
    "bytes_by_type",
    "describe",
    "fingerprint",
    "open_gguf",
    "read_header",
    "require_model",
]
