"""A synthetic byte-level vocabulary of any size, with a chat template, for files made here."""

from dataclasses import dataclass

BOS, EOS, EOT = "<|begin_of_text|>", "<|end_of_text|>", "<|eot_id|>"
_HEADER, _END_HEADER = "<|start_header_id|>", "<|end_header_id|>"
_SPECIAL = (BOS, EOS, _HEADER, _END_HEADER, EOT)
_NORMAL, _CONTROL = 1, 3
_MERGES = ("t h", "th e", "i n", "e r", "a n", "o n", "Ġ the", "Ġ a", "in g", "an d")

CHAT_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}"
    f"{{{{ '{_HEADER}' + message['role'] + '{_END_HEADER}\\n\\n' }}}}"
    f"{{{{ message['content'] | trim + '{EOT}' }}}}{{% endfor %}}"
    "{% if add_generation_prompt %}"
    f"{{{{ '{_HEADER}assistant{_END_HEADER}\\n\\n' }}}}{{% endif %}}"
)


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Token texts in the byte-level alphabet, their GGUF token types, and the merges."""

    tokens: list[str]
    types: list[int]
    merges: list[str]

    def id_of(self, token: str) -> int:
        """Return the id of a token text."""
        return self.tokens.index(token)


def _byte_alphabet() -> list[str]:
    # The printable form of each byte that byte-level BPE uses: visible characters stand for
    # themselves and the others for the code points from 256 on, in order.
    shown = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    spare = iter(range(256, 512))
    return [chr(byte if byte in shown else next(spare)) for byte in range(256)]


def make_vocabulary(size: int) -> Vocabulary:
    """Return a vocabulary of `size` tokens: bytes, a few merges, filler words, five specials."""
    tokens = [*_byte_alphabet(), *(merge.replace(" ", "") for merge in _MERGES)]
    filler = size - len(tokens) - len(_SPECIAL)
    if filler < 0:
        raise ValueError(f"a vocabulary needs at least {size - filler} tokens")
    tokens += [f"Ġw{number}" for number in range(filler)] + list(_SPECIAL)
    types = [_NORMAL] * (size - len(_SPECIAL)) + [_CONTROL] * len(_SPECIAL)
    return Vocabulary(tokens, types, list(_MERGES))
