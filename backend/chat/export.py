"""Conversations as text to take away."""

import datetime
import json
from collections.abc import Sequence
from dataclasses import asdict

from backend.chat.records import Conversation, Message

FORMAT = 1  # of the JSON export; raised only when a key changes its meaning


def markdown(conversation: Conversation, branch: Sequence[Message]) -> str:
    """Return one branch as Markdown."""
    lines = [f"# {conversation.title or 'Untitled'}", ""]
    lines += [f"*{_when(conversation.created)}*", ""]
    if conversation.system:
        lines += ["## System", "", conversation.system, ""]
    for message in branch:
        lines += [f"## {_speaker(message)}", "", message.content, ""]
        if message.finish_reason not in (None, "stop"):
            lines += [f"*({message.finish_reason})*", ""]
    return "\n".join(lines).rstrip() + "\n"


def as_json(conversation: Conversation, messages: Sequence[Message]) -> str:
    """Return the whole tree as JSON; `parent_id` links the messages."""
    document = {
        "format": FORMAT,
        "conversation": asdict(conversation),
        "messages": [asdict(message) for message in messages],
    }
    return json.dumps(document, ensure_ascii=False, indent=2) + "\n"


def _speaker(message: Message) -> str:
    if message.role == "user":
        return "You"
    return message.model or message.role.capitalize()


def _when(seconds: float) -> str:
    moment = datetime.datetime.fromtimestamp(seconds, tz=datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M UTC")
