"""The template and tokenizer of one model, as the server uses them."""

from collections.abc import Mapping, Sequence
from typing import Any

from backend.errors import SternaError
from backend.inference import Prompt, encode_conversation
from backend.inference.tokenizer import Tokenizer

# What a template is given anyway: not for a request to replace.
_TAKEN = {"tokenizer", "template", "messages", "add_generation_prompt", "control", "renderer"}
_TAKEN |= {"bos", "eos", "bos_token", "eos_token"}


class ModelWords:
    """Implements `backend.serve.engine.Words` for a GGUF model."""

    def __init__(self, tokenizer: Tokenizer, template: str | None) -> None:
        self.template = template or ""
        self.bos = tokenizer.text_of(tokenizer.bos_id)
        self.eos = tokenizer.text_of(tokenizer.eos_id)
        self.vocab_size = tokenizer.vocab_size
        self._tokenizer = tokenizer

    def render(self, messages: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> str:
        """Return the prompt as text."""
        return self._prompt(messages, values).text

    def encode_chat(
        self, messages: Sequence[Mapping[str, Any]], values: Mapping[str, Any]
    ) -> list[int]:
        """Return the prompt as ids."""
        return self._prompt(messages, values).ids

    def encode(self, text: str, *, special: bool = False, bos: bool = False) -> list[int]:
        """Return the ids of a text."""
        return self._tokenizer.encode(text, special=special, bos=bos)

    def begin(self, text: str, *, special: bool = False) -> list[int]:
        """Return the ids of a raw prompt. An empty one begins with BOS, or where there is none, EOS."""
        t = self._tokenizer
        ids = t.encode(text, special=special, bos=t.add_bos or not text)
        if not ids and t.eos_id is not None:
            return [t.eos_id]
        return ids

    def decode(self, ids: Sequence[int]) -> str:
        """Return the text of ids."""
        return self._tokenizer.decode(ids, special=True)

    def _prompt(self, messages: Sequence[Mapping[str, Any]], values: Mapping[str, Any]) -> Prompt:
        taken = _TAKEN.intersection(values)
        if taken:
            raise SternaError(
                "bad_argument", f"chat_template_kwargs cannot set {min(taken)}.", "Leave it out."
            )
        return encode_conversation(self._tokenizer, self.template or None, messages, **values)
