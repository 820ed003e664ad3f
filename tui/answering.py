"""One reply: from the engine into the view and the store, until it ends or is stopped."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING

from backend.chat.wire import ChatMessage, ChatSampling, Done
from backend.errors import SternaError
from tui.talk import record_of, turn_of
from tui.widgets.turns import ReplyView, Turn

if TYPE_CHECKING:
    from backend.chat.client import ChatClient
    from backend.chat.reply import ReplyWriter
    from backend.settings import Chat

TELL_EVERY = 1.0  # seconds between two words about how it goes


class Answer:
    """Streams a reply. What came is kept in every case: stopped, broken off or complete."""

    def __init__(
        self,
        client: ChatClient,
        messages: Sequence[ChatMessage],
        sampling: ChatSampling,
        writer: ReplyWriter,
        view: ReplyView,
    ) -> None:
        self._client = client
        self._messages = messages
        self._sampling = sampling
        self._writer = writer
        self._view = view
        self._pump: asyncio.Task[Done] | None = None
        self._told = 0.0
        self._stopped = False

    def stop(self) -> None:
        """End it at once: closing the stream stops the engine within one token."""
        self._stopped = True
        if self._pump is not None:
            self._pump.cancel()

    async def run(self) -> Turn:
        """Stream the reply and return it as it was kept. Raises SternaError when it broke off."""
        self._pump = asyncio.create_task(self._stream())
        broken: SternaError | None = None
        reason, record, seed = "cancelled", {}, None
        try:
            done = await self._pump
            reason, record, seed = done.finish_reason, record_of(done), done.seed
        except SternaError as error:
            reason, broken = "error", error
        except asyncio.CancelledError:
            if not self._stopped:  # the app itself is ending
                self._writer.finish("interrupted")
                raise
        turn = turn_of(self._writer.finish(reason, stats=record, seed=seed))
        await self._view.finish(turn)
        if broken is not None:
            raise broken
        return turn

    async def _stream(self) -> Done:
        started = time.monotonic()
        async with aclosing(self._client.stream(self._messages, self._sampling)) as stream:
            async for event in stream:
                if isinstance(event, Done):
                    return event
                self._view.push(event.text, event.reasoning)
                self._writer.push(event.text, event.reasoning)
                self._tell(time.monotonic() - started)
        raise SternaError("bad_reply", "The reply ended without an end.", "ctrl+r asks again.")

    def _tell(self, elapsed: float) -> None:
        if elapsed - self._told >= TELL_EVERY:
            self._told = elapsed
            self._view.tell(f"{elapsed:.0f} s · esc stops")


def sampling_of(wishes: Chat) -> ChatSampling:
    """Return the person's settings as a request takes them."""
    return ChatSampling(
        temperature=wishes.temperature,
        top_k=wishes.top_k,
        top_p=wishes.top_p,
        min_p=wishes.min_p,
        repeat_penalty=wishes.repeat_penalty,
    )
