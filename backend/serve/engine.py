"""What the server needs of a model: any object of this shape can be served."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from backend.inference.sampling import GenerationReport, Sampling, Token


class Speaker(Protocol):
    """A loaded model, as `backend.inference.Model` is one. Used from one thread, except `cancel`."""

    @property
    def context(self) -> int:
        """Tokens of prompt and reply together."""
        ...

    @property
    def last(self) -> GenerationReport | None:
        """How the last generation went, once its iterator has ended or was closed."""
        ...

    def stream(self, ids: Sequence[int], sampling: Sampling | None = None) -> Iterator[Token]:
        """Continue `ids` token by token."""
        ...

    def weigh_adapters(self, scales: Sequence[float]) -> None:
        """Run the loaded adapters at these scales, one each."""
        ...

    def cancel(self) -> None:
        """Stop the generation in progress within one token; from any thread, never blocks."""
        ...

    def close(self) -> None:
        """Give everything back."""
        ...


class Words(Protocol):
    """The way from text to token ids and back. Used from one thread at a time."""

    template: str
    """The chat template of the file, empty where it has none."""

    bos: str
    eos: str
    vocab_size: int

    def render(self, messages: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> str:
        """Return the prompt as text."""
        ...

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
    ) -> list[int]:
        """Return the prompt as ids; text of people never becomes a special token."""
        ...

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Return the ids of a text."""
        ...

    def begin(self, text: str, *, special: bool = False) -> list[int]:
        """Return the ids of a raw prompt, with BOS where the model wants it."""
        ...

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        ...
