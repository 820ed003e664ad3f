"""The vocabulary of a file, checked."""

from dataclasses import dataclass

from backend.errors import SternaError
from backend.gguf import GGUFFile

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = 1, 2, 3, 4, 5, 6

# Control tokens that end a turn, by the text that models give them.
TURN_ENDS = frozenset(
    (
        "<|im_end|>", "<|eot_id|>", "<|eom_id|>", "<|end|>", "<end_of_turn>", "<|endoftext|>", "</s>",
        "<|end_of_text|>", "<EOT>", "<|eot|>", "<turn|>", "<|END_OF_TURN_TOKEN|>", "<|end_of_turn|>",
        "<eos>", "<\uff5cend\u2581of\u2581sentence\uff5c>", "[EOS]", "<|return|>", "<|call|>",
        "<|endofturn|>", "<end_of_utterance>", "[|endofturn|]",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """Tokens of a file in the order of their ids, and the ids with a meaning."""

    model: str
    pre: str
    tokens: list[bytes]
    kinds: list[int]
    bos: int | None
    eos: int | None
    unknown: int | None
    turn_ends: frozenset[int]

    def text(self, id_: int) -> str:
        """Return the token as it is written in the file."""
        return self.tokens[id_].decode("utf-8", "replace")


def _id(file: GGUFFile, key: str, size: int) -> int | None:
    value = file.integer(f"tokenizer.ggml.{key}")
    return value if value is not None and 0 <= value < size else None  # 4294967295 means none


def read_vocabulary(file: GGUFFile) -> Vocabulary:
    """Read the vocabulary of a file; raises SternaError."""
    model = file.string("tokenizer.ggml.model") or ""
    tokens = file.raw_strings("tokenizer.ggml.tokens")
    if not tokens:
        raise SternaError(
            "unsupported_tokenizer",
            "The file has no vocabulary, so its text cannot be read.",
            "Take a file with its tokenizer inside; adapters and projectors have none.",
        )
    if model not in ("gpt2", "llama"):
        raise SternaError(
            "unsupported_tokenizer",
            f"Sterna does not know the tokenizer {model or '(none)'} of this file yet.",
            "An endpoint such as Ollama or llama-server may serve this model.",
        )
    kinds = file.integers("tokenizer.ggml.token_type")
    if len(kinds) != len(tokens):
        kinds = [NORMAL] * len(tokens)
    size = len(tokens)
    ends = {_id(file, key, size) for key in ("eos_token_id", "eot_token_id", "eom_token_id")} - {
        None
    }
    ends |= {
        i
        for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True))
        if kind == CONTROL and token.decode("utf-8", "replace") in TURN_ENDS
    }
    return Vocabulary(
        model=model,
        pre=file.string("tokenizer.ggml.pre") or "default",
        tokens=tokens,
        kinds=kinds,
        bos=_id(file, "bos_token_id", size),
        eos=_id(file, "eos_token_id", size),
        unknown=_id(file, "unknown_token_id", size),
        turn_ends=frozenset(i for i in ends if i is not None),
    )
