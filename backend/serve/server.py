"""From a model file to an answering server, and down again."""

import asyncio
import contextlib
import logging
import signal
import socket
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn

from backend.serve import listening
from backend.serve.app import Api, Served, build
from backend.serve.words import ModelWords

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Options:
    """How a model is loaded; None leaves it to the engine. `adapters`: LoRA adapters, `FILE[:SCALE]` each."""

    context: int | None = None
    kv: str = "auto"
    threads: int | None = None
    adapters: tuple[str, ...] = ()


def load(path: Path, options: Options) -> tuple[Served, float]:
    """Load a model to be served; return it and the seconds that took. Raises SternaError."""
    from backend import advice
    from backend.inference import load_model

    began = time.perf_counter()
    model = load_model(
        path,
        threads=options.threads,
        context=options.context,
        kv=options.kv,
        adapter=options.adapters,
    )
    advice.follow(model)
    card = model.card
    words = ModelWords(model.tokenizer, card.chat_template)
    facts: dict[str, Any] = {
        "arch": card.arch,
        "quant": card.quant,
        "threads": model.threads,
        "isa": model.isa,
    }
    held = model.plan
    facts["memory"] = {"weights": held.weights, "cache": held.cache, "total": held.total}
    facts["adapters"] = [{"name": file.stem, "scale": scale} for file, scale in model.adapters]
    return Served(path.stem, model, words, facts), time.perf_counter() - began


def run(
    served: Served,
    listener: socket.socket,
    *,
    api_key: str | None = None,
    on_ready: Callable[[], None] = lambda: None,
) -> None:
    """Serve until SIGTERM or SIGINT. Generations in progress are cancelled, the socket is removed."""
    # Uvicorn closes what it is given: it gets a second descriptor of the same socket.
    try:
        asyncio.run(_serve(served, listener.dup(), api_key, on_ready))
    finally:
        listening.remove(listener)


async def _serve(
    served: Served, listener: socket.socket, api_key: str | None, on_ready: Callable[[], None]
) -> None:
    api = Api(served)
    config = uvicorn.Config(
        build(api, api_key=api_key),
        http="h11",
        ws="none",
        loop="asyncio",
        lifespan="off",
        log_config=None,
        access_log=False,  # paths are logged by the handlers, without what follows a question mark
        server_header=False,
        timeout_graceful_shutdown=1,
        limit_concurrency=256,
    )
    server = _Server(config, on_ready)

    def stop() -> None:
        server.should_exit = True
        api.worker.cancel_all()

    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop)
    try:
        await server.serve(sockets=[listener])
    finally:
        await asyncio.to_thread(api.close)
        served.speaker.close()
        _log.info("stopped")


class _Server(uvicorn.Server):
    """Uvicorn with the signals left to us, so that cleaning up comes before the end."""

    def __init__(self, config: uvicorn.Config, on_ready: Callable[[], None]) -> None:
        super().__init__(config)
        self._on_ready = on_ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self._on_ready()

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield
