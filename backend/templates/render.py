"""Rendering from outside the child: requests, time-outs, and what people wrote kept apart.

Text of people must never become a special token. Before rendering, every control token that is
written in a message is replaced by a placeholder of private-use characters; the template may trim,
cut and move the text as it likes. Afterwards the placeholders become their text again, and their
places are the spans that must be encoded as plain text.
"""

import atexit
import json
import os
import re
import secrets
import selectors
import subprocess
import sys
import threading
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.errors import SternaError

SECONDS = 5.0
MAX_TEMPLATE = 256 << 10
_OPEN, _CLOSE = "\uf8f0", "\uf8f1"
# What a model says of its own thinking is for the template to find and cut, not an attack.
_THINKING = frozenset(("<think>", "</think>"))

# For files without a template: how plain base models are usually prompted.
PLAIN = (
    "{% for m in messages %}{{ m['role'] | capitalize }}: {{ m['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}Assistant:{% endif %}"
)
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] | trim }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

Message = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Rendered:
    """A rendered conversation.

    `spans`: places of control-token texts that people wrote, [start, end), in order; they are text and
    nothing else. `notes`: what was done that the user should know.
    """

    text: str
    spans: tuple[tuple[int, int], ...] = ()
    notes: tuple[str, ...] = ()


class _RefusedError(Exception):
    """The template raised an error."""


class Renderer:
    """A child process that renders; started when needed, started again when it had to be killed."""

    def __init__(self, seconds: float = SECONDS) -> None:
        self._seconds = seconds
        self._lock = threading.Lock()
        self._child: subprocess.Popen[bytes] | None = None

    def close(self) -> None:
        """Kill the child."""
        child, self._child = self._child, None
        if child is not None:
            child.kill()
            child.wait()
            for pipe in (child.stdin, child.stdout):
                if pipe is not None:
                    pipe.close()

    def ask(self, request: dict[str, Any]) -> str:
        """Return the rendered text; raises SternaError when it is killed, _RefusedError when it raises."""
        with self._lock:
            try:
                reply = self._exchange(json.dumps(request).encode() + b"\n")
            except (OSError, ValueError) as error:
                self.close()
                raise _failed("its process died, probably for lack of memory") from error
        if "error" in reply:
            raise _RefusedError(reply["error"])
        return str(reply["text"])

    def _exchange(self, line: bytes) -> dict[str, str]:
        if self._child is None or self._child.poll() is not None:
            self.close()
            self._child = subprocess.Popen(
                # -P: a folder named `backend` where the user happens to stand is not ours.
                [sys.executable, "-P", "-m", "backend.templates.child"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
                start_new_session=True,
            )
        child = self._child
        assert child.stdin is not None
        assert child.stdout is not None
        writer = threading.Thread(target=_write, args=(child.stdin, line), daemon=True)
        writer.start()
        answer = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                # The clock starts anew while bytes come: a long answer is not a slow one.
                if not ready.select(self._seconds):
                    self.close()
                    raise _failed(f"it took longer than {self._seconds:g} seconds")
                chunk = os.read(child.stdout.fileno(), 1 << 16)
                if not chunk:
                    raise ValueError("the child ended")
                answer += chunk
        reply: dict[str, str] = json.loads(answer)
        return reply


def _write(pipe: Any, line: bytes) -> None:
    try:
        pipe.write(line)
        pipe.flush()
    except (OSError, ValueError):
        return  # the reader notices that the child is gone


def _failed(reason: str) -> SternaError:
    return SternaError(
        "template_failed",
        f"The chat template of this model cannot be used: {reason}.",
        "Use another file of this model, or chat without a template (--raw).",
    )


_shared: Renderer | None = None


def _renderer() -> Renderer:
    global _shared
    if _shared is None:
        _shared = Renderer()
        atexit.register(_shared.close)
    return _shared


class _Guard:
    """Replaces control tokens in messages by placeholders, and finds them again."""

    def __init__(self, control: Collection[str]) -> None:
        names = sorted((t for t in control if t), key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, names))) if names else None
        self._nonce = secrets.token_hex(4)
        self._kept: list[str] = []
        self._placeholder = re.compile(f"{_OPEN}{self._nonce}([0-9]+){_CLOSE}")

    def hide(self, value: Any, keep: Collection[str] = ()) -> Any:
        if self._pattern is None:
            return value
        if isinstance(value, str):
            return self._pattern.sub(lambda m: m[0] if m[0] in keep else self._store(m[0]), value)
        if isinstance(value, Mapping):
            return {k: self.hide(v, keep) for k, v in value.items()}
        if isinstance(value, list | tuple):
            return [self.hide(v, keep) for v in value]
        return value

    def _store(self, text: str) -> str:
        self._kept.append(text)
        return f"{_OPEN}{self._nonce}{len(self._kept) - 1}{_CLOSE}"

    def show(self, text: str) -> tuple[str, tuple[tuple[int, int], ...]]:
        parts, spans, at, size = [], [], 0, 0
        for match in self._placeholder.finditer(text):
            token = self._kept[int(match[1])]
            parts += [text[at : match.start()], token]
            size += match.start() - at
            spans.append((size, size + len(token)))
            size += len(token)
            at = match.end()
        parts.append(text[at:])
        return "".join(parts), tuple(spans)


def _plain_content(messages: Sequence[Message]) -> list[dict[str, Any]]:
    """Join contents that are lists of text parts: most templates want a string."""
    out = []
    for message in messages:
        content = message.get("content")
        if isinstance(content, list):
            content = "\n".join(str(p.get("text", "")) for p in content if isinstance(p, Mapping))
        out.append({**message, "content": "" if content is None else content})
    return out


def _without_system(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put the system text before the first user turn."""
    system, rest = messages[0]["content"], messages[1:]
    for i, message in enumerate(rest):
        if message["role"] == "user":
            merged = {**message, "content": f"{system}\n{message['content']}"}
            return [*rest[:i], merged, *rest[i + 1 :]]
    return [{"role": "user", "content": system}, *rest]


def render(
    template: str | None,
    messages: Sequence[Message],
    *,
    add_generation_prompt: bool = True,
    bos: str = "",
    eos: str = "",
    control: Collection[str] = (),
    renderer: Renderer | None = None,
    **values: Any,
) -> Rendered:
    """Render a conversation by a model's template; raises SternaError `template_failed`.

    `control`: the texts of the model's control tokens. A template that refuses or ignores the system
    role gets it merged into the first user turn. Without a template, ChatML is used where the model
    has its tokens, and plain lines otherwise. Other keywords reach the template as they are.
    """
    notes: list[str] = []
    if not template:
        template = CHATML if "<|im_start|>" in control else PLAIN
        notes.append("this file has no chat template: a common one is used")
    if len(template) > MAX_TEMPLATE:
        raise _failed(f"it is {len(template)} characters long")
    guard = _Guard(control)
    hidden = [
        {
            **m,
            "content": guard.hide(m["content"], _THINKING if m.get("role") == "assistant" else ()),
        }
        for m in _plain_content(messages)
    ]
    request = {
        "template": template,
        "values": {
            "add_generation_prompt": add_generation_prompt,
            "bos_token": bos,
            "eos_token": eos,
            "tools": None,
            "documents": None,
            **values,
        },
    }
    ask = (renderer or _renderer()).ask
    has_system = bool(hidden) and hidden[0].get("role") == "system"
    try:
        text = ask({**request, "messages": hidden})
        ignored = has_system and hidden[0]["content"].strip() not in text
    except _RefusedError as refused:
        if not has_system:
            raise _failed(str(refused)) from None
        text, ignored = "", True
    if ignored:
        notes.append("this template has no system role: it was put before the first message")
        try:
            text = ask({**request, "messages": _without_system(hidden)})
        except _RefusedError as refused:
            raise _failed(str(refused)) from None
    shown, spans = guard.show(text)
    return Rendered(shown, spans, tuple(notes))
