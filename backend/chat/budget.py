"""The token budget of a conversation. Nothing is ever left out of a prompt unasked."""

from collections.abc import Sequence
from dataclasses import dataclass

from backend.chat.client import ChatClient
from backend.chat.wire import ChatMessage
from backend.errors import SternaError

REPLY_RESERVE = 256  # tokens kept free for the answer unless the caller asks for more


@dataclass(frozen=True, slots=True)
class Budget:
    """How full the context is. `used` counts the prompt with its template, exactly.

    `context` and `used` are None where the endpoint does not tell: then it judges for itself.
    """

    used: int | None
    context: int | None
    reserve: int


@dataclass(frozen=True, slots=True)
class DropPlan:
    """What would have to go: `drop` are indices into the messages, the oldest whole turns.

    `turns` counts the user messages among them; `tokens_before` and `tokens_after` are exact.
    """

    drop: tuple[int, ...]
    turns: int
    tokens_before: int
    tokens_after: int

    def apply(self, messages: Sequence[ChatMessage]) -> list[ChatMessage]:
        """Return `messages` without what the plan drops."""
        gone = set(self.drop)
        return [message for at, message in enumerate(messages) if at not in gone]


class ContextFull(SternaError):  # noqa: N818
    """A conversation that no longer fits: kind `context_full`, with a way out.

    `plan` is None when even the last message alone with the system prompt does not fit.
    """

    def __init__(self, budget: Budget, plan: DropPlan | None) -> None:
        super().__init__("context_full", "", "")
        self.budget = budget
        self.plan = plan


async def check(
    client: ChatClient, messages: Sequence[ChatMessage], *, reserve: int = REPLY_RESERVE
) -> Budget:
    """Return the budget of sending `messages`, or raise ContextFull with a plan."""
    raise NotImplementedError
