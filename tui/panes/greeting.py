"""What a chat says when nothing was said yet, and when nothing more can be said."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from backend.text import clean
from tui.state import Engine, Phase

# What is wrong with the file itself stays wrong, however often it is loaded.
STAYS_WRONG = (
    "not_gguf",
    "truncated",
    "corrupt",
    "not_a_model",
    "not_found",
    "unsupported_arch",
    "unsupported_type",
    "unsupported_tokenizer",
)

if TYPE_CHECKING:
    from backend.chat.budget import DropPlan
    from backend.errors import SternaError


def ways_out(plan: DropPlan | None) -> Iterable[str]:
    """Return what can be done about a full context, each with its key."""
    if plan is not None:
        turns = "the oldest turn" if plan.turns == 1 else f"the {plan.turns} oldest turns"
        yield f"ctrl+t  go on without {turns}: kept here, no longer sent"
    yield "ctrl+n  new chat"


def ways_on(error: SternaError) -> Iterable[str]:
    """Return what can be done without an engine. To load again what cannot be loaded is no way."""
    if error.kind not in STAYS_WRONG:
        yield "ctrl+r  start the engine again"
    yield "ctrl+g  choose another model"


def greeting(engine: Engine) -> str:
    """Return what an empty chat is for and which keys begin it."""
    if engine.phase is Phase.NONE:
        return (
            "Here you talk to a model on this computer. None is loaded yet.\n\n"
            "1       choose a model, then c chats with it\n"
            "ctrl+o  open a chat that you had before"
        )
    if engine.phase is Phase.FAILED:
        return ""
    return (
        f"{clean(engine.name)} listens. What you both say is kept on this computer only.\n\n"
        "⏎       sends; alt+⏎ or a backslash before ⏎ begins a new line\n"
        "esc     stops a reply at once\n"
        "f1      explains every key"
    )
