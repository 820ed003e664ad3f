"""Which pre-tokenizer of GGUF cuts text as a checkpoint's does: by its expressions, not by its name."""

import json
from typing import Any

from backend.errors import SternaError
from backend.pretokenizers import PATTERNS, PRETOKENIZERS

_SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"  # as checkpoints write it; the table spells it out
_SPELT_OUT = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
_LETTERS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
_CAPITALS = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
_EDGE, _REST = r"[^\r\n\p{L}\p{N}]?", r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
# Expressions that the table has in another spelling (llama.cpp's regular expressions know less).
_OTHER_SPELLINGS = {
    f"{_EDGE}{_LETTERS}{_SPELT_OUT}?|{_EDGE}{_CAPITALS}{_SPELT_OUT}?|\\p{{N}}{{1,3}}|{_REST}": "gpt4o",
    f"{_EDGE}{_LETTERS}|{_EDGE}{_CAPITALS}|\\p{{N}}|{_REST}": "tekken",
}
# Of several names with the same expressions, the one that files usually have.
_USUAL = ("llama-bpe", "gpt-2", "qwen2", "smollm", "deepseek-v3", "gpt-4o", "smaug-bpe")


def pre_tokenizer(said: Any, ignore_merges: bool) -> str:
    """Return the name for `tokenizer.ggml.pre`; raises SternaError for one that has none."""
    patterns = tuple(_patterns(said))
    family = next((name for name, found in PATTERNS.items() if found == patterns), "")
    if not family and len(patterns) == 1:
        family = _OTHER_SPELLINGS.get(patterns[0], "")
    fitting = [
        name
        for name, found in PRETOKENIZERS.items()
        if family and found.patterns == PATTERNS[family] and found.ignore_merges == ignore_merges
    ]
    if not fitting:
        raise _unknown(said)
    return next((name for name in _USUAL if name in fitting), fitting[0])


def _patterns(said: Any) -> list[str]:
    """Return the expressions that cut a text, one after the other."""
    if not isinstance(said, dict):
        raise _unknown(said)
    kind = said.get("type")
    if kind == "Sequence" and isinstance(said.get("pretokenizers"), list):
        return [pattern for part in said["pretokenizers"] for pattern in _patterns(part)]
    if kind == "ByteLevel" and not said.get("add_prefix_space"):
        return list(PATTERNS["gpt2"]) if said.get("use_regex", True) else []
    if kind == "Digits":
        return [r"\p{N}" if said.get("individual_digits") else r"\p{N}+"]
    if kind == "Split" and said.get("behavior") == "Isolated" and not said.get("invert"):
        pattern = said.get("pattern")
        expression = pattern.get("Regex") if isinstance(pattern, dict) else None
        if isinstance(expression, str):
            return [expression.replace(_SUFFIX, _SPELT_OUT)]
    raise _unknown(said)


def _unknown(said: Any) -> SternaError:
    shown = json.dumps(said)[:200]
    return SternaError(
        "unsupported_tokenizer",
        f"No GGUF pre-tokenizer cuts text as this checkpoint's does: {shown}.",
        "llama.cpp's convert_hf_to_gguf.py may know the model; without its name, text would be cut wrongly.",
    )
