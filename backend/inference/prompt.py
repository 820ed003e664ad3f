"""From a conversation to token ids, by the model's own template."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from backend.inference.tokenizer import Tokenizer, encode_rendered
from backend.templates import render


@dataclass(frozen=True, slots=True)
class Prompt:
    """A conversation as the model reads it. `notes`: what the user should know of how it was made."""

    ids: list[int]
    text: str
    notes: tuple[str, ...]


def encode_conversation(
    tokenizer: Tokenizer,
    template: str | None,
    messages: Sequence[Mapping[str, Any]],
    *,
    add_generation_prompt: bool = True,
    **values: Any,
) -> Prompt:
    """Render messages and encode them; what people wrote never becomes a special token.

    Raises SternaError `template_failed` when the template refuses.
    """
    rendered = render(
        template,
        messages,
        add_generation_prompt=add_generation_prompt,
        bos=tokenizer.text_of(tokenizer.bos_id),
        eos=tokenizer.text_of(tokenizer.eos_id),
        control=tokenizer.control_texts,
        **values,
    )
    return Prompt(
        encode_rendered(tokenizer, rendered), rendered.text, (*rendered.notes, *tokenizer.notes)
    )
