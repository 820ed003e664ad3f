"""What the headers of a model file say together; the parts of a split model are joined."""

from collections.abc import Mapping, Sequence
from pathlib import PurePath

import numpy as np
import numpy.typing as npt

from backend.gguf.cursor import corrupt, shown
from backend.gguf.header import Header
from backend.gguf.metadata import Metadata
from backend.gguf.tensors import TensorInfo


class GGUFContents:
    """Metadata and the list of tensors, wherever the bytes are: on disk, or on another computer.

    `size` is that of all parts in bytes; `shards` are their paths, `path` that of the first.
    """

    def __init__(self, shards: Sequence[PurePath], headers: Sequence[Header], size: int) -> None:
        self.path: PurePath = shards[0]
        self.shards: tuple[PurePath, ...] = tuple(shards)
        first = headers[0]
        self.version = first.version
        self.alignment = first.alignment
        self._metadata = first.metadata
        self.metadata: Metadata = first.metadata
        self.size = size
        tensors: dict[str, TensorInfo] = {}
        for header in headers:
            for name, info in header.tensors.items():
                if name in tensors:
                    raise corrupt(f"the tensor {shown(name)} stands in two of its parts")
                tensors[name] = info
        self.tensors: Mapping[str, TensorInfo] = tensors  # in file order
        self.architecture: str = self.string("general.architecture") or ""

    # Access to metadata by type. Absent and of another type are the same: see Metadata.

    def string(self, key: str, default: str | None = None) -> str | None:
        """Return a text."""
        return self._metadata.string(key, default)

    def integer(self, key: str, default: int | None = None) -> int | None:
        """Return a whole number; an array of equal numbers counts as one."""
        return self._metadata.integer(key, default)

    def number(self, key: str, default: float | None = None) -> float | None:
        """Return a number as float."""
        return self._metadata.number(key, default)

    def flag(self, key: str, default: bool | None = None) -> bool | None:
        """Return a boolean."""
        return self._metadata.flag(key, default)

    def integers(self, key: str) -> list[int]:
        """Return an array of whole numbers, empty when there is none."""
        return self._metadata.integers(key)

    def numbers(self, key: str) -> npt.NDArray[np.float32] | None:
        """Return an array of numbers as float32, or None."""
        return self._metadata.numbers(key)

    def strings(self, key: str) -> list[str]:
        """Return an array of texts, empty when there is none."""
        return self._metadata.strings(key)

    def raw_strings(self, key: str) -> list[bytes]:
        """Return an array of texts as the bytes they are: tokens need not be UTF-8."""
        return self._metadata.raw_strings(key)

    def count(self, key: str) -> int:
        """Return how many items an array has, without decoding it; 0 when there is none."""
        return self._metadata.count(key)

    def token_id(self, name: str) -> int | None:
        """Return the id of the `bos`, `eos`, … token, None where the vocabulary has no such id."""
        return self._metadata.token_id(name)
