"""Answers of the model under training to a few prompts, as samples of how it does."""

from collections.abc import Sequence
from typing import Any

import torch
from transformers import PreTrainedModel

from backend.text import clean
from backend.train.data.encoder import Encoder

Prompt = tuple[str, list[int]]  # what is shown, and its ids


def prompts_of(texts: Sequence[str], encoder: Encoder) -> list[Prompt]:
    """Return prompts as the chat would send them."""
    made = []
    for text in texts:
        if encoder.chats:
            ids = encoder.conversation([{"role": "user", "content": text}], prompt=True, values={})
        else:
            ids = encoder.text(text)
        made.append((text, ids))
    return made


@torch.no_grad()
def answers(
    model: PreTrainedModel, prompts: Sequence[Prompt], encoder: Encoder, tokens: int
) -> list[dict[str, str]]:
    """Return what the model says to each prompt, at most `tokens` tokens."""
    training = model.training
    model.eval()
    said = []
    try:
        for text, ids in prompts:
            more = _continued(model, ids, tokens, encoder.words.eot_ids)
            answer = encoder.words.decode(more, special=False)
            said.append(
                {"prompt": clean(text, newlines=True), "text": clean(answer, newlines=True)}
            )
    finally:
        model.train(training)
    return said


def _continued(model: Any, ids: list[int], tokens: int, ends: frozenset[int]) -> list[int]:
    """Take the likeliest token again and again."""
    given = torch.tensor([ids], device=next(model.parameters()).device)
    made = model.generate(
        input_ids=given,
        attention_mask=torch.ones_like(given),
        max_new_tokens=tokens,
        do_sample=False,
        eos_token_id=sorted(ends) or None,
        pad_token_id=0,
    )
    more: list[int] = made[0, len(ids) :].tolist()
    return [i for i in more if i not in ends]
