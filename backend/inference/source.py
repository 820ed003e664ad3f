"""What the numbers of a model are read from: an open file, or a header alone (as it came from the Hub)."""

from collections.abc import Mapping
from typing import Protocol

from backend.gguf import Metadata, TensorInfo


class Source(Protocol):
    """A `GGUFFile` or a `Header`."""

    @property
    def metadata(self) -> Metadata:
        """The key-value pairs."""
        ...

    @property
    def tensors(self) -> Mapping[str, TensorInfo]:
        """The tensors by name."""
        ...
