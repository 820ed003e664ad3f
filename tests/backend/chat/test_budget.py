import pickle

import pytest

from backend.chat.budget import ContextFull, check, measure
from backend.chat.wire import ChatMessage, Props, TokenCount


class Counter:
    """Counts one token a character and three a message, as an exact endpoint would."""

    def __init__(self, context, *, counts=True):
        self.context = context
        self.counts = counts
        self.asked = 0

    async def count(self, messages):
        self.asked += 1
        if not self.counts:
            return None
        return TokenCount(sum(len(m.content) + 3 for m in messages), self.context)

    async def props(self):
        return Props(context=self.context)


def conversation(turns, length=20, system="S" * 10):
    messages = [ChatMessage("system", system)] if system else []
    for number in range(turns):
        messages.append(ChatMessage("user", f"{number}".rjust(length)))
        if number < turns - 1:
            messages.append(ChatMessage("assistant", "a" * length))
    return messages


async def test_what_fits_is_sent():
    found = await check(Counter(1000), conversation(3))
    assert (found.used, found.context, found.fits) == (13 + 5 * 23, 1000, True)
    assert found.reserve == 125  # of a small context an eighth, at most


@pytest.mark.parametrize("turns", [2, 3, 10, 57])
async def test_the_plan_drops_the_fewest_oldest_turns(turns):
    client, messages = Counter(160), conversation(turns, length=40)
    if turns == 2:
        messages = conversation(2, length=50)
    with pytest.raises(ContextFull) as caught:
        await check(client, messages)
    plan, budgeted = caught.value.plan, caught.value.budget
    left = plan.apply(messages)
    assert left[0] == messages[0]
    assert left[-1] == messages[-1]
    assert left[1].role == "user"
    assert (await client.count(left)).tokens == plan.tokens_after
    assert plan.tokens_after + budgeted.reserve <= 160
    # one turn fewer would not be enough
    fewer = [messages[0], *messages[1 + 2 * (plan.turns - 1) :]]
    assert (await client.count(fewer)).tokens + budgeted.reserve > 160
    assert plan.drop == tuple(range(1, 1 + 2 * plan.turns))
    assert plan.tokens_before == budgeted.used
    assert caught.value.kind == "context_full"
    assert str(plan.tokens_before - plan.tokens_after) in caught.value.hint


async def test_a_long_conversation_is_planned_with_few_counts():
    client = Counter(1000)
    with pytest.raises(ContextFull):
        await check(client, conversation(500))
    assert client.asked <= 11


async def test_when_even_the_last_message_is_too_long_there_is_no_plan():
    with pytest.raises(ContextFull) as caught:
        await check(Counter(100), conversation(3, length=200))
    assert caught.value.plan is None
    assert "Shorten" in caught.value.hint
    with pytest.raises(ContextFull) as caught:
        await check(Counter(100), conversation(1, length=200))
    assert caught.value.plan is None


async def test_an_endpoint_that_cannot_count_judges_for_itself():
    found = await check(Counter(100, counts=False), conversation(50))
    assert (found.used, found.context, found.fits) == (None, 100, True)


async def test_what_the_answer_needs_counts():
    messages = conversation(1)
    used = (await measure(Counter(10_000), messages)).used
    assert (await check(Counter(used + 1000), messages, reserve=10)).fits
    # an eighth of the context is the most that is kept free
    with pytest.raises(ContextFull):
        await check(Counter(used + used // 8), messages, reserve=1000)


async def test_the_error_survives_a_pipe():
    with pytest.raises(ContextFull) as caught:
        await check(Counter(100), conversation(9))
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.plan, again.budget) == (caught.value.plan, caught.value.budget)
    assert again.as_dict() == caught.value.as_dict()


async def test_an_opening_by_the_assistant_belongs_to_the_first_turn():
    messages = [ChatMessage("assistant", "Hello! " * 30), *conversation(2, system="")]
    with pytest.raises(ContextFull) as caught:
        await check(Counter(100), messages)
    assert caught.value.plan.drop == (0, 1, 2)
    assert caught.value.plan.turns == 1
