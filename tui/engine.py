"""Keeps the engine child of the app: starts it, tells how it is, notices its death, ends it.

Runs in the app's own event loop; the work is in the child. Every change is posted as a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from backend.errors import SternaError
from backend.text import clean
from tui.messages import EngineChanged
from tui.state import Engine, Memory, Phase

if TYPE_CHECKING:
    from textual.message import Message

    from backend.chat.client import ChatClient
    from backend.library import LibraryModel
    from backend.serve.child import EngineProcess
    from backend.serve.child import Phase as StartPhase
    from tui.sources import Sources


class EngineKeeper:
    """One engine child at most. `post` receives the messages."""

    def __init__(self, post: Callable[[Message], object], sources: Sources) -> None:
        self._post = post
        self._settings = sources.settings
        self._resident = sources.resident
        self._process: EngineProcess | None = None
        self._task: asyncio.Task[None] | None = None
        self._adapters: tuple[str, ...] = ()
        self.engine = Engine()
        self.client: ChatClient | None = None

    def load(self, model: LibraryModel) -> None:
        """Put `model` into memory in place of any other. Returns at once."""
        self._adapters = ()
        self.engine = Engine(
            Phase.LOADING,
            path=Path(model.path),
            name=model.name,
            quant=model.quant or "",
            bytes=model.bytes,
        )
        self.restart()

    def load_tuned(self, base: Path, name: str, adapter: Path, run: str) -> None:
        """Put a base with the adapter of a run beside it into memory. Returns at once."""
        self._adapters = (str(adapter),)
        self.engine = Engine(
            Phase.LOADING, path=base, name=name, adapter=run, bytes=base.stat().st_size
        )
        self.restart()

    def restart(self) -> None:
        """Start the engine again with the model it had. Returns at once."""
        if self.engine.path is None:
            return
        self._change(phase=Phase.LOADING, detail="", error=None, context=None)
        before, self._task = self._task, asyncio.create_task(self._run(self._task))
        if before is not None:
            before.cancel()

    async def close(self) -> None:
        """End the engine and forget its model."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    def used(self, tokens: int) -> None:
        """Note how many tokens of the context the conversation takes."""
        if tokens != self.engine.used:
            self._change(used=tokens)

    def counted(self, memory: Memory) -> Memory:
        """Return what of the memory is taken, with what the engine's process holds of it."""
        if self._process is None or not self._process.running:
            return memory
        held = self._resident(self._process.pid)
        return dataclasses.replace(memory, engine=min(held, memory.used))

    def answering(self, now: bool) -> None:
        """Note that a reply has begun or ended."""
        if self.engine.usable:
            self._change(phase=Phase.ANSWERING if now else Phase.READY)

    async def _run(self, before: asyncio.Task[None] | None) -> None:
        """Start one engine and stay with it until it ends. The one before ends first: two models
        at once may not fit into memory.
        """
        if before is not None:
            await asyncio.wait([before])
        process = None
        try:
            process = self._process = await self._start()
            ended = await process.wait()
            self._change(phase=Phase.FAILED, error=ended.error or _gone(self.engine.name))
        except SternaError as error:
            self._change(phase=Phase.FAILED, error=error)
        except Exception as error:
            logging.exception("the engine could not be kept")
            fact = f"The engine failed: {error}"
            self._change(phase=Phase.FAILED, error=SternaError("internal", fact))
        finally:
            self._process = None
            client, self.client = self.client, None
            if client is not None:
                await client.close()
            if process is not None:
                await process.stop()

    async def _start(self) -> EngineProcess:
        from backend import library
        from backend.chat.client import ChatClient
        from backend.serve.child import EngineProcess

        assert self.engine.path is not None
        wish = self._settings().engine
        process = await EngineProcess.start(
            self.engine.path,
            context=wish.context,
            kv=None if wish.kv == "auto" else wish.kv,
            threads=wish.threads,
            adapters=self._adapters,
            on_phase=self._phase,
        )
        library.mark_used(self.engine.path)
        self.client = ChatClient(process.address)
        held = process.facts.get("memory", {})
        self._change(
            phase=Phase.READY,
            context=process.context,
            detail="",
            weights=held.get("weights", 0),
            cache=held.get("cache", 0),
        )
        return process

    def _phase(self, phase: StartPhase) -> None:
        self._change(detail=clean(phase.text))

    def _change(self, **changes: object) -> None:
        self.engine = dataclasses.replace(self.engine, **changes)  # type: ignore[arg-type]
        self._post(EngineChanged(self.engine))


def _gone(name: str) -> SternaError:
    return SternaError("engine_crashed", f"The engine with {name} has ended.")
