"""A client for any OpenAI-compatible endpoint: Sterna's own engine, or a server elsewhere."""

import contextlib
import time
from collections.abc import AsyncGenerator, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Self

from backend.chat import lenient
from backend.chat.wire import (
    ChatMessage,
    ChatSampling,
    Delta,
    Done,
    Props,
    Timings,
    TokenCount,
    Usage,
)
from backend.errors import SternaError
from backend.text import StreamCleaner, clean

if TYPE_CHECKING:
    from backend.chat.endpoint import Event


class ChatClient:
    """Talks to one endpoint. Use as an async context manager, or call `close`.

    `address` is `unix:/path/to/socket`, `http://host:port` or `https://host[/base]` (with or without
    a trailing `/v1`); `model` is the name sent with each request, by default the first the endpoint
    lists. Every method raises SternaError: engine_unreachable, bad_argument, context_full, busy,
    not_found, unauthorised, engine_failed, bad_reply, or the kind that Sterna's own engine names.
    """

    def __init__(self, address: str, api_key: str | None = None, *, model: str = "") -> None:
        from backend.chat.endpoint import Endpoint

        self.address = address
        self.model = model
        self._endpoint: Endpoint = Endpoint(address, api_key)
        self._props: Props | None = None
        self._counts_by: str | None = None

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def stream(
        self, messages: Sequence[ChatMessage], sampling: ChatSampling | None = None
    ) -> AsyncGenerator[Delta | Done, None]:
        """Yield the reply piece by piece, and last one `Done`.

        Closing the iterator (`await it.aclose()`, or cancelling the task that reads it) closes the
        connection, which stops the engine within one token.
        """
        body: dict[str, object] = {
            "model": await self._model_name(),
            "messages": _as_json(messages),
            "stream": True,
            "stream_options": {"include_usage": True},
            **(sampling or ChatSampling()).as_request(),
        }
        reading = _Reading()
        events = self._endpoint.events("/v1/chat/completions", body)
        async with contextlib.aclosing(events):
            async for event in events:
                delta = reading.take(event)
                if delta.text or delta.reasoning:
                    yield delta
        rest = reading.flush()
        if rest.text or rest.reasoning:
            yield rest
        yield reading.done()

    async def count(self, messages: Sequence[ChatMessage]) -> TokenCount | None:
        """Return the exact size of `messages` as a prompt, or None where the endpoint cannot tell."""
        ways = {"sterna": self._count_own, "vllm": self._count_vllm, "llama": self._count_llama}
        if self._counts_by is not None:
            return await ways[self._counts_by](messages) if self._counts_by in ways else None
        for name, way in ways.items():
            try:
                found = await way(messages)
            except SternaError as error:
                if error.kind in ("bad_argument", "engine_failed"):
                    continue  # the path means something else there
                raise
            if found is not None:
                self._counts_by = name
                return found
        self._counts_by = "none"
        return None

    async def props(self) -> Props:
        """Return what the endpoint tells of its model; asked once, then remembered."""
        if self._props is None:
            own = await self._told("/props")
            models = await self._told("/v1/models")
            known = lenient.props(own, models, {})
            if known.context is None:
                known = lenient.props(own, models, await self._told("/api/ps"))
            self._props = known
        return self._props

    async def close(self) -> None:
        """Give the connections back."""
        await self._endpoint.close()

    # --- inside --------------------------------------------------------------------------------

    async def _told(self, path: str) -> lenient.Fields:
        try:
            return await self._endpoint.get(path) or {}
        except SternaError as error:
            if error.kind in ("engine_unreachable", "unauthorised"):
                raise
            return {}

    async def _model_name(self) -> str:
        return self.model or (await self.props()).model or "default"

    async def _count_own(self, messages: Sequence[ChatMessage]) -> TokenCount | None:
        body = {"model": self.model or "default", "messages": _as_json(messages)}
        found = await self._endpoint.post("/v1/messages/count_tokens", body) or {}
        tokens, context = lenient.integer(found.get("input_tokens")), found.get("context")
        # Others count there too, but without the system prompt's template: only ours tells the context.
        if tokens is None or lenient.integer(context) is None:
            return None
        return TokenCount(tokens, context)

    async def _count_vllm(self, messages: Sequence[ChatMessage]) -> TokenCount | None:
        body = {"model": await self._model_name(), "messages": _as_json(messages)}
        found = await self._endpoint.post("/tokenize", body) or {}
        tokens = lenient.integer(found.get("count"))
        return TokenCount(tokens, lenient.integer(found.get("max_model_len"))) if tokens else None

    async def _count_llama(self, messages: Sequence[ChatMessage]) -> TokenCount | None:
        found = await self._endpoint.post("/apply-template", {"messages": _as_json(messages)}) or {}
        prompt = lenient.string(found.get("prompt"))
        if not prompt:
            return None
        body = {"content": prompt, "add_special": True, "parse_special": True}
        tokens = (await self._endpoint.post("/tokenize", body) or {}).get("tokens")
        if not isinstance(tokens, list):
            return None
        return TokenCount(len(tokens), (await self.props()).context)


class _Reading:
    """The state of one reply while its events come in."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._first_at: float | None = None
        self._answer, self._thoughts = StreamCleaner(), StreamCleaner()
        self._reason = ""
        self._ended = False
        self._usage, self._timings = Usage(), Timings()
        self._model = ""
        self._seed: int | None = None

    def take(self, event: "Event") -> Delta:
        """Return what an event adds to the reply."""
        value = event.value
        if value is None:
            self._ended = True
            return Delta("")
        choice = lenient.first(value.get("choices"))
        # A server that cannot stream puts the whole reply where the delta would be.
        delta = lenient.fields(choice.get("delta")) or lenient.fields(choice.get("message"))
        text = lenient.string(delta.get("content"))
        thought = lenient.string(delta.get("reasoning_content") or delta.get("reasoning"))
        if (text or thought) and self._first_at is None:
            self._first_at = time.perf_counter()
        self._reason = lenient.string(choice.get("finish_reason")) or self._reason
        self._model = lenient.string(value.get("model")) or self._model
        if value.get("usage"):
            self._usage = lenient.usage(value["usage"])
        if value.get("timings"):
            self._timings = lenient.timings(value["timings"])
            self._seed = lenient.integer(lenient.fields(value["timings"]).get("seed"))
        return Delta(self._answer.push(text), self._thoughts.push(thought))

    def flush(self) -> Delta:
        """Return what the cleaners held back."""
        return Delta(self._answer.flush(), self._thoughts.flush())

    def done(self) -> Done:
        """Return the end, or raise when the reply broke off before it."""
        if not self._reason and not self._ended:
            raise SternaError(
                "engine_unreachable", "The reply broke off before its end.", "Try again."
            )
        first = None if self._first_at is None else self._first_at - self._began
        total = time.perf_counter() - self._began
        return Done(
            finish_reason=clean(self._reason) or "stop",
            usage=self._usage,
            timings=replace(self._timings, first_token_s=first, total_s=total),
            model=clean(self._model),
            seed=self._seed,
        )


def _as_json(messages: Sequence[ChatMessage]) -> list[dict[str, str]]:
    return [
        {"role": message.role, "content": message.content.encode("utf-8", "replace").decode()}
        for message in messages
    ]
