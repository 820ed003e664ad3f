"""What requests may say. Wrong types and values are refused by name; nothing is silently ignored that
would change an answer.
"""

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeVar

import msgspec
from msgspec import Meta, Struct

from backend.errors import SternaError
from backend.inference.sampling import Sampling

MAX_MESSAGES = 10_000

_Body = TypeVar("_Body")

_Share = Annotated[float, Meta(ge=0, le=1)]
_StopString = Annotated[str, Meta(min_length=1, max_length=512)]
_Count = Annotated[int, Meta(ge=0, le=2**31 - 1)]


class Part(Struct):
    """A part of a message's content."""

    type: str
    text: str = ""


class Message(Struct):
    """One message. `developer` is the newer word for system."""

    role: Literal["system", "developer", "user", "assistant", "tool"]
    content: str | list[Part] | None = None

    def plain(self) -> dict[str, str]:
        """Return role and text."""
        if isinstance(self.content, list):
            for part in self.content:
                if part.type != "text":
                    raise _refused(f"Content of type {part.type!r} is not supported; send text.")
            text = "".join(part.text for part in self.content)
        else:
            text = self.content or ""
        return {"role": "system" if self.role == "developer" else self.role, "content": text}


_Messages = Annotated[list[Message], Meta(min_length=1, max_length=MAX_MESSAGES)]
_Values = dict[str, str | int | float | bool | None]


class StreamOptions(Struct):
    """Options of a streamed reply."""

    include_usage: bool = False


class AdapterScale(Struct):
    """A loaded adapter, by its place, and how much of it counts in this request."""

    id: Annotated[int, Meta(ge=0)]
    scale: Annotated[float, Meta(ge=-100, le=100)]


class Choices(Struct, kw_only=True):
    """What every request for text may choose; None leaves it to the engine's defaults."""

    model: str = ""
    stream: bool = False
    stream_options: StreamOptions | None = None
    stop: _StopString | Annotated[list[_StopString], Meta(max_length=16)] | None = None
    seed: Annotated[int, Meta(ge=-1, le=2**63 - 1)] | None = None
    temperature: Annotated[float, Meta(ge=0, le=100)] | None = None
    top_k: Annotated[int, Meta(ge=0, le=2**31 - 1)] | None = None
    top_p: _Share | None = None
    min_p: _Share | None = None
    repeat_penalty: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    repetition_penalty: Annotated[float, Meta(ge=0.01, le=100)] | None = None
    max_tokens: _Count | None = None
    max_completion_tokens: _Count | None = None
    lora: list[AdapterScale] | None = None
    # Known to others, not to this engine. Accepted only where they ask for nothing.
    n: int | None = None
    best_of: int | None = None
    echo: bool | None = None
    suffix: str | None = None
    logprobs: bool | int | None = None
    top_logprobs: int | None = None
    logit_bias: dict[str, float] | None = None
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    tools: list[Any] | None = None
    functions: list[Any] | None = None
    response_format: dict[str, Any] | None = None

    def sampling(self) -> Sampling:
        """Return the engine's sampling; raises SternaError for what the engine cannot do."""
        self._refuse_unsupported()
        given: dict[str, Any] = {
            "temperature": self.temperature,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "min_p": self.min_p,
            "repeat_penalty": self.repeat_penalty or self.repetition_penalty,
            "seed": None if self.seed == -1 else self.seed,
            "max_tokens": self._limit(),
            "stop": self._stops(),
        }
        return Sampling(**{name: value for name, value in given.items() if value is not None})

    def scales(self, loaded: Sequence[float]) -> list[float]:
        """Return the scale of each loaded adapter: as loaded, or as `lora` says, where those that it
        does not name are left out (as llama.cpp's server has it). Raises SternaError.
        """
        if self.lora is None:
            return list(loaded)
        scales = [0.0] * len(loaded)
        for each in self.lora:
            if each.id >= len(loaded):
                raise _refused(f"There is no adapter {each.id}: {len(loaded)} are loaded.")
            scales[each.id] = each.scale
        return scales

    @property
    def with_usage(self) -> bool:
        """Whether a streamed reply ends with its usage."""
        return self.stream_options is not None and self.stream_options.include_usage

    def _limit(self) -> int | None:
        limit = self.max_completion_tokens
        return self.max_tokens if limit is None else limit

    def _stops(self) -> tuple[str, ...]:
        return (self.stop,) if isinstance(self.stop, str) else tuple(self.stop or ())

    def _refuse_unsupported(self) -> None:
        asked = {
            "n": self.n not in (None, 1),
            "best_of": self.best_of not in (None, 1),
            "echo": self.echo,
            "suffix": self.suffix,
            "logprobs": self.logprobs not in (None, False, 0),
            "top_logprobs": self.top_logprobs,
            "logit_bias": self.logit_bias,
            "presence_penalty": self.presence_penalty,
            "frequency_penalty": self.frequency_penalty,
            "tools": self.tools,
            "functions": self.functions,
            "response_format": (self.response_format or {}).get("type", "text") != "text",
        }
        for name, wanted in asked.items():
            if wanted:
                raise _refused(f"{name} is not supported by this engine.")


class ChatRequest(Choices, kw_only=True):
    """Body of /v1/chat/completions. `chat_template_kwargs` reach the template as they are."""

    messages: _Messages
    chat_template_kwargs: _Values = {}


class CompletionRequest(Choices, kw_only=True):
    """Body of /v1/completions. The prompt is text, or token ids.

    Control tokens written in a text count as plain text unless `parse_special` is set.
    """

    prompt: str | Annotated[list[int], Meta(min_length=1)]
    parse_special: bool = False


class MessagesRequest(Struct):
    """Body of /v1/messages/count_tokens and /apply-template."""

    messages: _Messages
    chat_template_kwargs: _Values = {}
    model: str = ""


class TokenizeRequest(Struct):
    """Body of /tokenize. `add_special` adds BOS where the model wants it."""

    content: str
    add_special: bool = False
    parse_special: bool = False


class DetokenizeRequest(Struct):
    """Body of /detokenize."""

    tokens: Annotated[list[int], Meta(max_length=1_000_000)]


def plain(messages: Sequence[Message]) -> list[dict[str, str]]:
    """Return messages as the template takes them."""
    return [message.plain() for message in messages]


def parse(body: bytes, kind: type[_Body]) -> _Body:
    """Return a request's body as `kind`; raises SternaError naming the field that is wrong."""
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError as error:
        raise _refused(f"{str(error).rstrip('.')}.") from None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise SternaError(
            "bad_argument", "The body of the request is not valid JSON.", "Send a JSON object."
        ) from None


def _refused(message: str) -> SternaError:
    return SternaError("bad_argument", message, "See the server's documentation.")
