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

    `context` and `used` are None where the endpoint does not tell: then it judges for itself. `reserve`
    is what is kept free for the answer.
    """

    used: int | None
    context: int | None
    reserve: int

    @property
    def fits(self) -> bool:
        """Whether prompt and answer have room, as far as anybody can tell."""
        if self.used is None or self.context is None:
            return True
        return self.used + self.reserve <= self.context


@dataclass(frozen=True, slots=True)
class DropPlan:
    """What would have to go: `drop` are indices into the messages, the oldest whole turns.

    `turns` counts them (`ChatStore.drop_turns` takes it); `tokens_before` and `tokens_after` are exact.
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
        need = (
            f"The conversation has {budget.used} tokens; with {budget.reserve} for the answer "
            f"the context of {budget.context} is full."
        )
        way_out = "Shorten the message, or load the model with a longer context."
        if plan is not None:
            turns = "oldest turn" if plan.turns == 1 else f"{plan.turns} oldest turns"
            way_out = f"Leave out the {turns} ({plan.tokens_before - plan.tokens_after} tokens)."
        super().__init__("context_full", need, way_out)
        self.budget = budget
        self.plan = plan

    def __reduce__(self) -> tuple[type["ContextFull"], tuple[Budget, DropPlan | None]]:  # type: ignore[override]
        return type(self), (self.budget, self.plan)


async def measure(
    client: ChatClient, messages: Sequence[ChatMessage], *, reserve: int = REPLY_RESERVE
) -> Budget:
    """Return how full the context would be with `messages`."""
    count = await client.count(messages)
    context = count.context if count is not None else None
    if context is None:
        context = (await client.props()).context
    # A small context is not given away to an answer that may be short.
    kept = reserve if context is None else min(reserve, max(1, context // 8))
    return Budget(count.tokens if count is not None else None, context, kept)


async def check(
    client: ChatClient, messages: Sequence[ChatMessage], *, reserve: int = REPLY_RESERVE
) -> Budget:
    """Return the budget of sending `messages`, or raise ContextFull with a plan."""
    budget = await measure(client, messages, reserve=reserve)
    if budget.fits:
        return budget
    raise ContextFull(budget, await _plan(client, messages, budget))


async def _plan(
    client: ChatClient, messages: Sequence[ChatMessage], budget: Budget
) -> DropPlan | None:
    """Return the fewest oldest turns to leave out, found by halving: each try is counted exactly."""
    turns = _turns(messages)
    best: DropPlan | None = None
    low, high = 1, len(turns) - 1  # the last turn is what is being asked
    while low <= high:
        middle = (low + high) // 2
        gone = tuple(at for turn in turns[:middle] for at in turn)
        plan = DropPlan(gone, middle, budget.used or 0, 0)
        count = await client.count(plan.apply(messages))
        if count is None:
            return None
        if count.tokens + budget.reserve <= (budget.context or 0):
            best = DropPlan(gone, middle, budget.used or 0, count.tokens)
            high = middle - 1
        else:
            low = middle + 1
    return best


def _turns(messages: Sequence[ChatMessage]) -> list[list[int]]:
    """Return the indices of each turn: a user message and what follows.

    System prompts belong to none; what comes before the first user message belongs to the first turn.
    """
    turns: list[list[int]] = []
    asked = False
    for at, message in enumerate(messages):
        if message.role == "system":
            continue
        if not turns or (message.role == "user" and asked):
            turns.append([])
        asked = asked or message.role == "user"
        turns[-1].append(at)
    return turns
