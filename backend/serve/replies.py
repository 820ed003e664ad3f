"""What the server sends: the shapes of the OpenAI API, with Sterna's measurements beside them."""

import secrets
import time
from dataclasses import dataclass, field
from typing import Any, Literal

import msgspec
from starlette.responses import Response

from backend.errors import SternaError
from backend.inference.sampling import GenerationReport

Kind = Literal["chat", "text"]

_STATUS = {
    "unauthorised": 401,
    "forbidden": 403,
    "not_found": 404,
    "method_not_allowed": 405,
    "timeout": 408,
    "too_large": 413,
    "internal": 500,
    "engine_crashed": 500,
    "busy": 503,
    "out_of_memory": 503,
}


def json_reply(value: object, status: int = 200) -> Response:
    """Return a JSON response."""
    return Response(msgspec.json.encode(value), status, media_type="application/json")


def error_body(error: SternaError) -> dict[str, Any]:
    """Return an error as the OpenAI API words it, with the hint beside it."""
    status = _STATUS.get(error.kind, 400)
    code = "context_length_exceeded" if error.kind == "context_full" else error.kind
    kind = "server_error" if status >= 500 else "invalid_request_error"
    return {
        "error": {
            "message": error.message,
            "type": kind,
            "param": None,
            "code": code,
            "hint": error.hint,
        }
    }


def refusal(error: SternaError) -> Response:
    """Return the response for an error."""
    reply = json_reply(error_body(error), _STATUS.get(error.kind, 400))
    if error.kind == "busy":
        reply.headers["Retry-After"] = "1"
    if error.kind == "unauthorised":
        reply.headers["WWW-Authenticate"] = "Bearer"
    return reply


def usage(report: GenerationReport) -> dict[str, Any]:
    """Return the `usage` object."""
    return {
        "prompt_tokens": report.prompt_tokens,
        "completion_tokens": report.completion_tokens,
        "total_tokens": report.prompt_tokens + report.completion_tokens,
        "prompt_tokens_details": {"cached_tokens": report.cached_tokens},
    }


def timings(report: GenerationReport, queued_s: float) -> dict[str, Any]:
    """Return the `timings` object: counts, seconds, tokens per second (null where there was nothing)."""
    return {
        "prompt_n": report.prompt_tokens - report.cached_tokens,
        "cached_n": report.cached_tokens,
        "predicted_n": report.completion_tokens,
        "queued_s": queued_s,
        "prompt_s": report.prompt_seconds,
        "decode_s": report.decode_seconds,
        "prompt_per_second": report.prompt_per_second,
        "decode_per_second": report.decode_per_second,
        "seed": report.seed,
    }


@dataclass(slots=True)
class Shape:
    """The envelope of one reply: `chat` messages or plain `text`."""

    kind: Kind
    model: str
    id: str = field(default_factory=lambda: secrets.token_hex(12))
    created: int = field(default_factory=lambda: int(time.time()))

    def whole(self, text: str, report: GenerationReport, queued_s: float) -> dict[str, Any]:
        """Return a reply in one piece."""
        said: dict[str, Any] = (
            {"message": {"role": "assistant", "content": text}}
            if self.kind == "chat"
            else {"text": text}
        )
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": report.finish_reason}
        return {
            **self._envelope(chunk=False),
            "choices": [choice],
            "usage": usage(report),
            "timings": timings(report, queued_s),
        }

    def opening(self) -> dict[str, Any] | None:
        """Return the first chunk of a stream, where the API has one."""
        if self.kind == "text":
            return None
        return self._chunk({"delta": {"role": "assistant", "content": ""}}, None)

    def piece(self, text: str) -> dict[str, Any]:
        """Return a chunk with text."""
        return self._chunk(
            {"delta": {"content": text}} if self.kind == "chat" else {"text": text}, None
        )

    def closing(self, report: GenerationReport, queued_s: float) -> dict[str, Any]:
        """Return the chunk that says why the reply ended and how fast it was."""
        last = self._chunk(
            {"delta": {}} if self.kind == "chat" else {"text": ""}, report.finish_reason
        )
        return {**last, "timings": timings(report, queued_s)}

    def usage(self, report: GenerationReport, queued_s: float) -> dict[str, Any]:
        """Return the chunk after the last, for those who asked for the usage."""
        return {
            **self._envelope(chunk=True),
            "choices": [],
            "usage": usage(report),
            "timings": timings(report, queued_s),
        }

    def _chunk(self, said: dict[str, Any], reason: str | None) -> dict[str, Any]:
        choice = {"index": 0, **said, "logprobs": None, "finish_reason": reason}
        return {**self._envelope(chunk=True), "choices": [choice]}

    def _envelope(self, *, chunk: bool) -> dict[str, Any]:
        if self.kind == "text":
            name, prefix = "text_completion", "cmpl"
        else:
            name, prefix = "chat.completion.chunk" if chunk else "chat.completion", "chatcmpl"
        return {
            "id": f"{prefix}-{self.id}",
            "object": name,
            "created": self.created,
            "model": self.model,
        }
