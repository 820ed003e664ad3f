"""A client for any OpenAI-compatible endpoint: Sterna's own engine, or a server elsewhere."""

from collections.abc import AsyncGenerator, Sequence
from types import TracebackType
from typing import Self

from backend.chat.wire import ChatMessage, ChatSampling, Delta, Done, Props, TokenCount


class ChatClient:
    """Talks to one endpoint. Use as an async context manager, or call `close`.

    `address` is `unix:/path/to/socket`, `http://host:port` or `https://host[/base]` (with or without
    a trailing `/v1`); `model` is the name sent with each request, needed where an endpoint has several.
    Every method raises SternaError: engine_unreachable, bad_argument, context_full, busy, not_found,
    unauthorised, engine_crashed, bad_reply.
    """

    def __init__(self, address: str, api_key: str | None = None, *, model: str = "") -> None:
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    def stream(
        self, messages: Sequence[ChatMessage], sampling: ChatSampling | None = None
    ) -> AsyncGenerator[Delta | Done, None]:
        """Yield the reply piece by piece, and last one `Done`.

        Closing the iterator (`await it.aclose()`, or cancelling the task that reads it) closes the
        connection, which stops the engine within one token.
        """
        raise NotImplementedError

    async def count(self, messages: Sequence[ChatMessage]) -> TokenCount | None:
        """Return the exact size of `messages` as a prompt, or None where the endpoint cannot tell."""
        raise NotImplementedError

    async def props(self) -> Props:
        """Return what the endpoint tells of its model."""
        raise NotImplementedError

    async def close(self) -> None:
        """Give the connections back."""
        raise NotImplementedError
