"""The HTTP interface of one engine. What it speaks stands in docs, and in the OpenAI API's."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from backend.errors import SternaError
from backend.serve import requests, speaking
from backend.serve.engine import Speaker, Words
from backend.serve.guard import Guard
from backend.serve.logs import log_failure
from backend.serve.replies import Kind, Shape, json_reply, refusal
from backend.serve.worker import Worker

MAX_BODY = 4 << 20  # bytes: about a million tokens, some seconds of tokenizing
_BODY_S = 60.0

_log = logging.getLogger(__name__)
_Result = TypeVar("_Result")
_Body = TypeVar("_Body")


@dataclass(frozen=True, slots=True)
class Served:
    """A model to serve. `facts` are further fields of /props."""

    name: str
    speaker: Speaker
    words: Words
    facts: dict[str, Any]


class Api:
    """The handlers. One engine, one worker; templates and tokenizer have a thread of their own."""

    def __init__(self, served: Served) -> None:
        self._served = served
        self._started = int(time.time())
        self._words_thread = ThreadPoolExecutor(1, thread_name_prefix="sterna-words")
        self.worker = Worker(served.speaker)
        self._closed = False

    def close(self) -> None:
        """Stop speaking; blocks until the engine has, a few seconds at most."""
        self._closed = True
        self.worker.close()
        self._words_thread.shutdown(wait=False, cancel_futures=True)

    async def health(self, _: Request) -> Response:
        """Tell that the server lives, and how many requests run or wait."""
        return json_reply({"status": "ok", "requests": self.worker.load})

    async def props(self, _: Request) -> Response:
        """Tell about the model."""
        served = self._served
        return json_reply(
            {
                "model": served.name,
                "context": served.speaker.context,
                "chat_template": served.words.template,
                "bos_token": served.words.bos,
                "eos_token": served.words.eos,
                "total_slots": 1,
                "default_generation_settings": {"n_ctx": served.speaker.context},
                **served.facts,
            }
        )

    async def models(self, _: Request) -> Response:
        """List the one model."""
        served = self._served
        model = {
            "id": served.name,
            "object": "model",
            "created": self._started,
            "owned_by": "sterna",
            "max_model_len": served.speaker.context,
        }
        return json_reply({"object": "list", "data": [model]})

    async def chat(self, request: Request) -> Response:
        """Answer a conversation."""
        body = await _body(request, requests.ChatRequest)
        messages = requests.plain(body.messages)
        ids = await self._words(
            lambda: self._served.words.encode_chat(messages, body.chat_template_kwargs)
        )
        return await self._speak(request, "chat", body, ids)

    async def completions(self, request: Request) -> Response:
        """Continue a text."""
        body = await _body(request, requests.CompletionRequest)
        if isinstance(body.prompt, str):
            text, special = body.prompt, body.parse_special
            ids = await self._words(lambda: self._served.words.begin(text, special=special))
        else:
            ids = self._known(body.prompt)
        return await self._speak(request, "text", body, ids)

    async def count(self, request: Request) -> Response:
        """Count the tokens of a conversation as a prompt, exactly."""
        body = await _body(request, requests.MessagesRequest)
        messages = requests.plain(body.messages)
        ids = await self._words(
            lambda: self._served.words.encode_chat(messages, body.chat_template_kwargs)
        )
        return json_reply({"input_tokens": len(ids), "context": self._served.speaker.context})

    async def apply_template(self, request: Request) -> Response:
        """Show a conversation as the model sees it."""
        body = await _body(request, requests.MessagesRequest)
        messages = requests.plain(body.messages)
        text = await self._words(
            lambda: self._served.words.render(messages, body.chat_template_kwargs)
        )
        return json_reply({"prompt": text})

    async def tokenize(self, request: Request) -> Response:
        """Return the token ids of a text."""
        body = await _body(request, requests.TokenizeRequest)
        words = self._served.words

        def encode() -> list[int]:
            if body.add_special:
                return words.begin(body.content, special=body.parse_special)
            return words.encode(body.content, special=body.parse_special)

        ids = await self._words(encode)
        return json_reply({"tokens": ids, "count": len(ids)})

    async def detokenize(self, request: Request) -> Response:
        """Return the text of token ids."""
        body = await _body(request, requests.DetokenizeRequest)
        ids = self._known(body.tokens)
        text = await self._words(lambda: self._served.words.decode(ids))
        return json_reply({"content": text})

    async def _speak(
        self, request: Request, kind: Kind, body: requests.Choices, ids: list[int]
    ) -> Response:
        sampling = body.sampling()
        context = self._served.speaker.context
        if len(ids) >= context:
            raise SternaError(
                "context_full",
                f"The prompt has {len(ids)} tokens and the context holds {context}.",
                "Shorten the conversation or load the model with a longer context.",
            )
        loaded = [each["scale"] for each in self._served.facts.get("adapters", ())]
        job = self.worker.submit(ids, sampling, body.scales(loaded))
        shape = Shape(kind, self._served.name)
        if body.stream:
            return speaking.EventStream(job, shape, with_usage=body.with_usage)
        return await speaking.whole(request, job, shape)

    def _known(self, ids: list[int]) -> list[int]:
        size = self._served.words.vocab_size
        if any(not 0 <= id_ < size for id_ in ids):
            raise SternaError(
                "bad_argument",
                f"Token ids run from 0 to {size - 1}.",
                "Use this model's tokenizer.",
            )
        return ids

    async def _words(self, work: Callable[[], _Result]) -> _Result:
        if self._closed:
            raise SternaError("busy", "The engine is stopping.", "Start it again.")
        return await asyncio.get_running_loop().run_in_executor(self._words_thread, work)


def build(api: Api, *, api_key: str | None = None, hosts: Collection[str] = ()) -> Starlette:
    """Return the application. `hosts` are further names by which clients may call this machine."""
    posts = {
        "/v1/chat/completions": api.chat,
        "/v1/completions": api.completions,
        "/v1/messages/count_tokens": api.count,
        "/apply-template": api.apply_template,
        "/tokenize": api.tokenize,
        "/detokenize": api.detokenize,
    }
    gets = {"/health": api.health, "/props": api.props, "/v1/models": api.models}
    return Starlette(
        routes=[
            *(
                Route(path, _answering(handler), methods=["POST"])
                for path, handler in posts.items()
            ),
            *(Route(path, _answering(handler), methods=["GET"]) for path, handler in gets.items()),
        ],
        middleware=[Middleware(Guard, api_key=api_key, hosts=hosts)],
        exception_handlers={HTTPException: _not_here},
    )


_Handler = Callable[[Request], Awaitable[Response]]


def _answering(handler: _Handler) -> _Handler:
    async def answer(request: Request) -> Response:
        try:
            return await handler(request)
        except SternaError as error:
            _log.info("refused %s: %s", request.url.path, error.kind)
            return refusal(error)
        except ClientDisconnect:
            return Response(status_code=499)  # nobody reads it
        except Exception as error:  # an answer in every case, and nothing of the request in the log
            log_failure(_log, f"{request.url.path} failed", error)
            return refusal(SternaError("internal", "The server failed on this request."))

    return answer


async def _not_here(_: Request, error: Exception) -> Response:
    status = error.status_code if isinstance(error, HTTPException) else 500
    if status == 405:
        return refusal(SternaError("method_not_allowed", "This path takes another method."))
    return refusal(SternaError("not_found", "There is nothing at this path.", "See /v1/models."))


async def _body(request: Request, kind: type[_Body]) -> _Body:
    length = request.headers.get("content-length", "")
    if length.isdigit() and int(length) > MAX_BODY:
        raise _too_large()
    content = bytearray()
    try:
        async with asyncio.timeout(_BODY_S):
            async for part in request.stream():
                content += part
                if len(content) > MAX_BODY:
                    raise _too_large()
    except TimeoutError:
        raise SternaError("timeout", "The body of the request came too slowly.") from None
    return requests.parse(bytes(content), kind)


def _too_large() -> SternaError:
    return SternaError("too_large", f"A request may have {MAX_BODY >> 20} MB.", "Send less.")
