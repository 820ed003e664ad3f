"""What goes to a chat endpoint and what comes back, in Sterna's own words."""

from dataclasses import dataclass, fields


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """One message as an endpoint takes it. `role` is system, user, assistant or tool."""

    role: str
    content: str


@dataclass(frozen=True, slots=True)
class ChatSampling:
    """How the reply is chosen; None leaves a choice to the endpoint.

    `temperature` >= 0; `top_k` tokens, 0 = off; `top_p` and `min_p` in 0..1; `repeat_penalty` 1 = off;
    the same `seed` gives the same text where the endpoint can; `max_tokens` caps the reply. `lora` has
    the scale of each adapter that the engine has loaded.
    """

    temperature: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    min_p: float | None = None
    repeat_penalty: float | None = None
    seed: int | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    lora: tuple[float, ...] = ()

    def as_request(self) -> dict[str, object]:
        """Return the fields that were chosen, by their names in a request."""
        chosen = {field.name: getattr(self, field.name) for field in fields(self)}
        chosen["lora"] = tuple({"id": i, "scale": s} for i, s in enumerate(self.lora))
        return {name: _plain(value) for name, value in chosen.items() if value not in (None, ())}


def _plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


@dataclass(frozen=True, slots=True)
class Delta:
    """A further piece of a reply, already cleaned for a terminal.

    `text` is the answer; `reasoning` what a thinking model wrote before it, where the endpoint keeps
    the two apart. Either may be empty.
    """

    text: str
    reasoning: str = ""


@dataclass(frozen=True, slots=True)
class Usage:
    """Exact token counts of one request; None where the endpoint does not tell."""

    prompt_tokens: int | None = None
    completion_tokens: int | None = None
    cached_tokens: int | None = None


@dataclass(frozen=True, slots=True)
class Timings:
    """Speeds in tokens per second and times in seconds; None where nobody measured them.

    `first_token_s` and `total_s` are measured by the client, the rest by the endpoint. `prompt_n` is
    the number of prompt tokens that had to be run, `cached_n` those that were remembered,
    `predicted_n` the tokens of the reply.
    """

    prompt_per_second: float | None = None
    decode_per_second: float | None = None
    prompt_n: int | None = None
    cached_n: int | None = None
    predicted_n: int | None = None
    first_token_s: float | None = None
    total_s: float | None = None


@dataclass(frozen=True, slots=True)
class Done:
    """The end of a reply. `finish_reason` is stop, length, cancelled or what the endpoint says."""

    finish_reason: str
    usage: Usage = Usage()
    timings: Timings = Timings()
    model: str = ""
    seed: int | None = None


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a list of messages makes with its template, and the context if known."""

    tokens: int
    context: int | None = None


@dataclass(frozen=True, slots=True)
class Props:
    """What an endpoint tells of its model. None or "" where it does not.

    `has_template` is False for a model that was not made for chat: its replies merely continue text.
    """

    model: str = ""
    context: int | None = None
    has_template: bool | None = None
    chat_template: str = ""
    models: tuple[str, ...] = ()
