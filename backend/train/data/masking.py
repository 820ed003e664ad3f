"""From an example to tokens, and which of them are learned.

A conversation is rendered by the model's own template. What the assistant says is found by rendering the
conversation up to where each answer begins and ends: the ids that a prompt has in common with the whole
are context, the rest up to and including the end-of-turn token is learned. So the prompt in training is
the prompt in chat, token by token.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from backend.train.data.encoder import Encoder
from backend.train.data.formats import Example, RefusedError
from backend.train.data.reading import Row

_REWRITTEN = 4  # ids by which a prompt may differ at its end, where tokens merge with the answer


@dataclass(frozen=True, slots=True)
class Sample:
    """One training sequence: `ids` int32 [n], `learned` bool [n]. `cut`: tokens beyond the length."""

    row: Row
    ids: npt.NDArray[np.int32]
    learned: npt.NDArray[np.bool_]
    cut: int = 0
    unlearned_turns: int = 0  # answers that the template shows otherwise later on
    ends: bool = True  # an end-of-turn token is learned
    asked: str = ""  # what a person says before the first answer

    @property
    def supervised(self) -> int:
        """How many tokens are learned: the first has nothing before it."""
        return int(self.learned[1:].sum())


def samples(
    example: Example, encoder: Encoder, *, max_length: int, learn_all: bool
) -> list[Sample]:
    """Return the sequences of one example. Raises RefusedError where nothing of it would be learned."""
    if example.messages:
        ids, learned, lost = _conversation(example, encoder)
    else:
        ids, learned, lost = _plain(example, encoder)
    if learn_all:
        learned = np.ones(len(ids), np.bool_)
    whole = Sample(
        example.row,
        np.asarray(ids, np.int32),
        learned,
        unlearned_turns=lost,
        ends=_ends(ids, learned, encoder),
        asked=_asked(example),
    )
    if not example.messages and not example.prompt and len(ids) > max_length:
        return _pieces(whole, max_length, encoder)
    return [_cut(whole, max_length, encoder)]


def _cut(sample: Sample, max_length: int, encoder: Encoder) -> Sample:
    over = len(sample.ids) - max_length
    if over > 0:
        ids, learned = sample.ids[:max_length], sample.learned[:max_length]
        ends = _ends(ids.tolist(), learned, encoder)
        sample = replace(sample, ids=ids, learned=learned, cut=over, ends=ends)
    if not sample.supervised:
        tokens = len(sample.ids) + max(over, 0)
        why = f"only {max_length} of its {tokens} tokens are kept" if over > 0 else "all is prompt"
        raise RefusedError(f"nothing of it would be learned: {why}")
    return sample


def _asked(example: Example) -> str:
    for message, after in zip(example.messages, example.messages[1:], strict=False):
        if after["role"] == "assistant":
            return str(message["content"])
    return example.prompt


def _pieces(sample: Sample, max_length: int, encoder: Encoder) -> list[Sample]:
    """Cut plain text into pieces one after the other, so that none of it is lost."""
    pieces = []
    for start in range(0, len(sample.ids), max_length):
        ids = sample.ids[start : start + max_length]
        learned = sample.learned[start : start + max_length]
        if len(ids) > 1:
            ends = _ends(ids.tolist(), learned, encoder)
            pieces.append(Sample(sample.row, ids, learned, ends=ends))
    return pieces


def _conversation(
    example: Example, encoder: Encoder
) -> tuple[list[int], npt.NDArray[np.bool_], int]:
    messages, values = list(example.messages), dict(example.values)
    whole = encoder.conversation(messages, prompt=False, values=values)
    learned = np.zeros(len(whole) + 1, np.bool_)
    turns = [i for i, message in enumerate(messages) if message["role"] == "assistant"]
    lost = 0
    for turn in turns:
        last = turn == len(messages) - 1
        prompt = encoder.conversation(messages[:turn], prompt=True, values=values) if turn else []
        upto = (
            whole
            if last
            else encoder.conversation(messages[: turn + 1], prompt=False, values=values)
        )
        start, end = _common(prompt, whole), _common(upto, whole)
        if len(prompt) - start > _REWRITTEN or end <= start:
            lost += 1  # the template shows this turn otherwise once others follow it
            continue
        ends = [i for i in range(start, end) if whole[i] in encoder.words.eot_ids]
        learned[start : ends[-1] + 1 if ends else end] = True
    if not learned.any():
        raise RefusedError("the chat template hides every answer in it")
    return _ended(whole, learned, encoder, lost)


def _plain(example: Example, encoder: Encoder) -> tuple[list[int], npt.NDArray[np.bool_], int]:
    prompt = encoder.text(example.prompt) if example.prompt else []
    whole = encoder.text(example.prompt + example.completion)
    learned = np.zeros(len(whole) + 1, np.bool_)
    learned[_common(prompt, whole) : len(whole)] = True
    return _ended(whole, learned, encoder, 0)


def _ended(
    ids: list[int], learned: npt.NDArray[np.bool_], encoder: Encoder, lost: int
) -> tuple[list[int], npt.NDArray[np.bool_], int]:
    """Let the last answer be the end: what a template writes behind it is dropped, and where it has no
    token that ends a text one is put there. `learned` is [n + 1].
    """
    eos = encoder.words.eos_id
    stop = int(np.flatnonzero(learned)[-1]) + 1
    if eos is None or _ends(ids, learned[:-1], encoder):
        return ids[:stop], learned[:stop], lost
    learned[stop] = True
    return [*ids[:stop], eos], learned[: stop + 1], lost


def _ends(ids: Sequence[int], learned: npt.NDArray[np.bool_], encoder: Encoder) -> bool:
    """Whether the last token that is learned ends a turn."""
    places = np.flatnonzero(learned)
    return bool(len(places)) and int(ids[int(places[-1])]) in encoder.words.eot_ids


def _common(a: Sequence[int], b: Sequence[int]) -> int:
    n = min(len(a), len(b))
    same = np.asarray(a[:n]) == np.asarray(b[:n])
    return n if same.all() else int(np.argmin(same))
