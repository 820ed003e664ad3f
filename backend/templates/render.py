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
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.errors import SternaError

SECONDS = 5.0  # of processor time for one conversation
_SILENCE = 60.0  # seconds by the clock without a byte: what is wrong takes no processor time
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
                reply = self._exchange({**request, "seconds": self._seconds})
            except (OSError, ValueError) as error:
                raise _failed(self._death()) from error
        if "error" in reply:
            raise _RefusedError(reply["error"])
        return str(reply["text"])

    def _death(self) -> str:
        """End the child, and tell what it died of."""
        child = self._child
        self.close()
        if child is not None and child.returncode == -signal.SIGXCPU:
            return f"it took more than {self._seconds:g} seconds of processor time"
        return "its process died, probably for lack of memory"

    def _exchange(self, request: dict[str, Any]) -> dict[str, str]:
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
        line = json.dumps(request).encode() + b"\n"
        writer = threading.Thread(target=_write, args=(child.stdin, line), daemon=True)
        writer.start()
        answer = bytearray()
        with selectors.DefaultSelector() as ready:
            ready.register(child.stdout, selectors.EVENT_READ)
            while not answer.endswith(b"\n"):
                # The clock starts anew while bytes come: a long answer is not a slow one.
                if not ready.select(_SILENCE):
                    self.close()
                    raise _failed(f"its process said nothing for {_SILENCE:g} seconds")
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


def _in_parts(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Contents as lists of parts, which templates of models that also see pictures may insist on."""
    return [{**m, "content": [{"type": "text", "text": m["content"]}]} for m in messages]


def _lost(messages: list[dict[str, Any]], text: str) -> int:
    """Count what a person said that a rendered text does not hold."""
    said = [m["content"].strip() for m in messages if m.get("role") in ("system", "user")]
    return sum(content not in text for content in said)


def _best(
    ask: Callable[[dict[str, Any]], str], request: dict[str, Any], messages: list[dict[str, Any]]
) -> tuple[str, bool]:
    """Return the text that keeps most of what was said, and whether the system text was moved for it.

    Templates differ in what they take: plain contents or parts, a system role or none.
    """
    ways = [(messages, False)]
    if messages and messages[0].get("role") == "system":
        ways.append((_without_system(messages), True))
    best: tuple[int, str, bool] | None = None
    reason = ""
    for said, moved in ways:
        for told in (said, _in_parts(said)):
            try:
                text = ask({**request, "messages": told})
            except _RefusedError as refused:
                reason = str(refused) if told is said else reason
                continue
            lost = _lost(messages, text)
            if best is None or lost < best[0]:
                best = (lost, text, moved)
            if not lost:
                return text, moved
    if best is None:
        raise _failed(reason)
    return best[1:]


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
    role gets it merged into the first user turn; one that ignores plain contents gets parts. Without a template, ChatML is used where the model
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
    text, merged = _best((renderer or _renderer()).ask, request, hidden)
    if merged:
        notes.append("this template has no system role: it was put before the first message")
    shown, spans = guard.show(text)
    return Rendered(shown, spans, tuple(notes))
