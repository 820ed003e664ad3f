"""Small GGUF files for tests: everything in one place to import from."""

from gguf_writing import Raw, write_gguf
from ternary import ternary_bytes, ternary_values
from tiny_models import TinyModel, tiny_bitnet, tiny_llama

__all__ = [
    "Raw",
    "TinyModel",
    "ternary_bytes",
    "ternary_values",
    "tiny_bitnet",
    "tiny_llama",
    "write_gguf",
]
