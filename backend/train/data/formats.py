"""What a row means: a conversation, a prompt with its completion, or plain text.

The format of a file is recognised by the columns of its first rows, and can be said instead.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from backend.errors import SternaError
from backend.train.data.reading import Row
from backend.train.recipe import Data

LOOKED_AT = 32  # rows

# For each format, the columns that make it and the names they go by, usual ones first.
_PROMPTS = ("prompt", "question", "query", "input", "instruction")
_COMPLETIONS = ("completion", "response", "answer", "output", "target", "chosen")
_TEXTS = ("text", "content", "document", "story")
_TALKS = ("messages", "conversations", "conversation", "dialog", "dialogue", "chat")
_ROLES = {
    "user": "user", "human": "user", "prompter": "user",
    "assistant": "assistant", "gpt": "assistant", "bot": "assistant", "model": "assistant",
    "chatgpt": "assistant", "bard": "assistant",
    "system": "system", "developer": "system",
    "tool": "tool", "function": "tool", "observation": "tool", "ipython": "tool",
    "function_call": "assistant",
}  # fmt: skip
# How Alpaca's authors join their columns (Taori et al. 2023) where a model has no chat template.
_ALPACA = "Below is an instruction that describes a task{}. Write a response that appropriately completes the request.\n\n### Instruction:\n{}\n\n{}### Response:\n"

TITLES = {
    "messages": "chat messages",
    "sharegpt": "ShareGPT conversations",
    "alpaca": "Alpaca instructions",
    "prompt": "prompts and completions",
    "text": "plain text",
}


@dataclass(frozen=True, slots=True)
class Example:
    """What is to be learned from a row: `messages`, or `prompt` and `completion` as plain text.

    Plain text alone is a completion of the empty prompt. `values` go to the chat template (tools).
    """

    row: Row
    messages: tuple[dict[str, Any], ...] = ()
    prompt: str = ""
    completion: str = ""
    values: Mapping[str, Any] = field(default_factory=dict)


class RefusedError(Exception):
    """A row cannot be used; the text says why, to be read after "row 3 of file: "."""


def recognise(rows: Sequence[Row], data: Data) -> str:
    """Return the format of a file from its first rows. Raises SternaError `unknown_format`."""
    if data.format != "auto":
        return data.format
    readable = [row for row in rows[:LOOKED_AT] if not row.fault]
    for row in readable:
        names = dict.fromkeys(row.values, True) | dict.fromkeys(data.columns, True)
        talk = _find(row.values, data, _TALKS, "messages")
        if isinstance(talk, list):
            first = talk[0] if talk else {}
            from_value = isinstance(first, Mapping) and "from" in first and "value" in first
            return "sharegpt" if from_value else "messages"
        if "instruction" in names and "output" in names:
            return "alpaca"
        if _has(row.values, data, _PROMPTS, "prompt") and _has(
            row.values, data, _COMPLETIONS, "completion"
        ):
            return "prompt"
        if _has(row.values, data, _TEXTS, "text"):
            return "text"
    columns = ", ".join(sorted({name for row in readable for name in row.values})[:12])
    where = rows[0].file if rows else "the file"
    raise SternaError(
        "unknown_format",
        f"The rows of {where} are of no format that Sterna knows; "
        + (f"their columns are {columns}." if columns else "none of the first can be read."),
        "Rename columns (messages, prompt and completion, instruction and output, text), or say which "
        "is which with --columns prompt=NAME,completion=NAME.",
    )


def _find(values: Mapping[str, Any], data: Data, names: Sequence[str], role: str) -> Any:
    if role in data.columns:
        return values.get(data.columns[role])
    return next((values[name] for name in names if name in values), None)


def _has(values: Mapping[str, Any], data: Data, names: Sequence[str], role: str) -> bool:
    return _find(values, data, names, role) is not None


def example(row: Row, form: str, data: Data, *, chats: bool) -> Example:
    """Return what a row teaches; `chats`: the model has a chat template. Raises RefusedError."""
    if row.fault:
        raise RefusedError(row.fault)
    if form in ("messages", "sharegpt"):
        return _conversation(row, data)
    if form == "text":
        return Example(row, completion=_text(_find(row.values, data, _TEXTS, "text"), "text"))
    if form == "alpaca":
        return _alpaca(row, data, chats)
    prompt = _find(row.values, data, _PROMPTS, "prompt")
    completion = _find(row.values, data, _COMPLETIONS, "completion")
    if isinstance(prompt, list) and isinstance(completion, list):  # both are pieces of a chat
        return _conversation(row, data, [*prompt, *completion])
    asked, answer = _text(prompt, "prompt"), _text(completion, "completion")
    if chats:
        return Example(row, _exchange(_system(row, data), asked, answer))
    return Example(row, prompt=asked, completion=answer)


def _alpaca(row: Row, data: Data, chats: bool) -> Example:
    asked = _text(row.values.get(data.columns.get("prompt", "instruction")), "instruction")
    answer = _text(row.values.get(data.columns.get("completion", "output")), "output")
    more = row.values.get("input")
    more = more.strip() if isinstance(more, str) else ""
    if chats:
        whole = f"{asked}\n\n{more}" if more else asked
        return Example(row, _exchange(_system(row, data), whole, answer))
    context = ", paired with an input that provides further context" if more else ""
    prompt = _ALPACA.format(context, asked, f"### Input:\n{more}\n\n" if more else "")
    return Example(row, prompt=prompt, completion=answer)


def _text(value: Any, name: str) -> str:
    if value is None:
        raise RefusedError(f"it has no {name}")
    if not isinstance(value, str):
        raise RefusedError(f"its {name} is {type(value).__name__}, not text")
    if not value.strip():
        raise RefusedError(f"its {name} is empty")
    return value


def _system(row: Row, data: Data) -> str:
    said = row.values.get("system")
    return said if isinstance(said, str) and said.strip() else data.system


def _exchange(system: str, asked: str, answer: str) -> tuple[dict[str, Any], ...]:
    first = ({"role": "system", "content": system},) if system else ()
    return (*first, {"role": "user", "content": asked}, {"role": "assistant", "content": answer})


def _conversation(row: Row, data: Data, talk: Any = None) -> Example:
    talk = _find(row.values, data, _TALKS, "messages") if talk is None else talk
    if not isinstance(talk, list):
        raise RefusedError("it has no list of messages")
    if not talk:
        raise RefusedError("its list of messages is empty")
    messages = [_message(m, n) for n, m in enumerate(talk, 1)]
    system = _system(row, data)
    if system and messages[0]["role"] != "system":
        messages.insert(0, {"role": "system", "content": system})
    if not any(m["role"] == "assistant" for m in messages):
        raise RefusedError("no message in it is the assistant's: there is nothing to learn")
    while messages[-1]["role"] != "assistant":
        messages.pop()  # a question without its answer teaches nothing
    tools = row.values.get("tools")
    return Example(row, tuple(messages), values={"tools": tools} if tools else {})


def _message(message: Any, number: int) -> dict[str, Any]:
    if not isinstance(message, Mapping):
        raise RefusedError(f"message {number} of it is no object")
    said = message.get("role", message.get("from"))
    role = _ROLES.get(said.lower()) if isinstance(said, str) else None
    if role is None:
        raise RefusedError(f"message {number} of it has the role {said!r}")
    content = message.get("content", message.get("value"))
    kept = {k: v for k, v in message.items() if k in ("tool_calls", "name", "tool_call_id") and v}
    if isinstance(content, list):
        parts = [p.get("text") if isinstance(p, Mapping) else None for p in content]
        if not all(isinstance(p, str) for p in parts):
            raise RefusedError(f"message {number} of it holds more than text")
        content = "\n".join(map(str, parts))
    if content is None and "tool_calls" in kept:
        content = ""
    if not isinstance(content, str):
        raise RefusedError(f"message {number} of it has no text")
    if not content.strip() and role in ("user", "assistant") and "tool_calls" not in kept:
        raise RefusedError(f"message {number} of it is empty")
    return {"role": role, "content": content, **kept}
