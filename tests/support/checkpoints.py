"""Tiny Hugging Face checkpoints of every family, with tokenizers trained on the spot."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from tiny_families import BASE, FAMILIES, Family
from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

TEXTS = ["The quick brown fox isn't lazy: it jumps over 13 dogs in 2026!", "Fly, tern, from pole to pole.",
         "def f(x):\n\treturn x  # 1,234,567 times\n\n", "Ĝis revido, ĉiuj! 你好，世界 🐦 \u00e9"]  # fmt: skip
TEMPLATE = "{% for m in messages %}<|{{ m['role'] }}|>{{ m['content'] }}{% endfor %}"
_SUFFIX = "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_UPPER, _LOWER = r"[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]", r"[\p{Ll}\p{Lm}\p{Lo}\p{M}]"
_END = r" ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def _words(digits):
    return (
        _SUFFIX
        + rf"|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+|{digits}| ?[^\s\p{{L}}\p{{N}}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
    )


# What published tokenizers cut by, under the name that their GGUF files have.
CUTS: dict[str, list[Any]] = {
    "llama-bpe": [pre_tokenizers.Split(Regex(_words(r"\p{N}{1,3}")), "isolated")],
    "qwen2": [pre_tokenizers.Split(Regex(_words(r"\p{N}")), "isolated")],
    "gpt-4o": [
        pre_tokenizers.Split(
            Regex(
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+{_SUFFIX}?"
                rf"|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*{_SUFFIX}?|\p{{N}}{{1,3}}|{_END}"
            ),
            "isolated",
        )
    ],
    "tekken": [
        pre_tokenizers.Split(
            Regex(
                rf"[^\r\n\p{{L}}\p{{N}}]?{_UPPER}*{_LOWER}+|[^\r\n\p{{L}}\p{{N}}]?{_UPPER}+{_LOWER}*|\p{{N}}|{_END}"
            ),
            "isolated",
        )
    ],
    "smollm": [pre_tokenizers.Digits(individual_digits=True)],
    "gpt-2": [],
}
WHOLE_PIECES = ("llama-bpe", "tekken")  # taken as one token before any merge
BY_EXPRESSION = ("llama-bpe", "qwen2", "gpt-4o", "tekken")


def byte_level(pre="llama-bpe", size=299, bos=True):
    """Train a byte-level BPE that cuts as `pre`."""
    tokenizer = Tokenizer(models.BPE(ignore_merges=pre in WHOLE_PIECES))
    last = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=pre not in BY_EXPRESSION)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*CUTS[pre], last]) if CUTS[pre] else last
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    tokenizer.train_from_iterator(TEXTS * 20, trainer)
    if bos:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="<s> $A", special_tokens=[("<s>", tokenizer.token_to_id("<s>"))]
        )
    return tokenizer


def sentencepiece_like(size=400, prefix=True):
    """Train a BPE with byte fallback, as fast tokenizers of SentencePiece models are."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    spaces = normalizers.Replace(" ", "▁")
    tokenizer.normalizer = (
        normalizers.Sequence([normalizers.Prepend("▁"), spaces]) if prefix else spaces
    )
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    special = ["<unk>", "<s>", "</s>", *(f"<0x{i:02X}>" for i in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=size, special_tokens=special)
    tokenizer.train_from_iterator(TEXTS[:2] * 20, trainer)
    # The trainer marks all of them special; byte tokens are not in published files.
    said = json.loads(tokenizer.to_str())
    said["added_tokens"] = said["added_tokens"][:3]
    return Tokenizer.from_str(json.dumps(said))


def real_sentencepiece(folder, size=400):
    """Train a model by the sentencepiece package and leave its tokenizer.model in `folder`."""
    import sentencepiece

    text = Path(folder) / "text.txt"
    text.write_text("\n".join(TEXTS[:2] * 50))
    sentencepiece.SentencePieceTrainer.train(
        input=str(text), model_prefix=str(Path(folder) / "tokenizer"), vocab_size=size,
        model_type="bpe", byte_fallback=True, character_coverage=1.0, minloglevel=2,
        hard_vocab_limit=False, normalization_rule_name="identity", remove_extra_whitespaces=False,
        user_defined_symbols=["<tool>"],
    )  # fmt: skip
    text.unlink()
    (Path(folder) / "tokenizer.vocab").unlink()
    return sentencepiece.SentencePieceProcessor(model_file=str(Path(folder) / "tokenizer.model"))


@dataclass
class Checkpoint:
    """A folder, and transformers' own model of it."""

    folder: Path
    model: Any

    def logits(self, ids):
        """Return transformers' logits, float32 [tokens, vocabulary]."""
        import torch

        with torch.no_grad():
            return self.model(torch.tensor([ids])).logits[0].float().numpy()


def checkpoint(
    folder, family: str | Family = "llama", *, dtype="float32", tokenizer=None, shard=None, **config
):
    """Save a random model of a family by save_pretrained, its tokenizer beside it."""
    import torch
    import transformers

    family = FAMILIES[family] if isinstance(family, str) else family
    name = {"Gemma3": "Gemma3Text"}.get(family.model, family.model)
    built = getattr(transformers, name + "Config")(**(BASE | family.config | config))
    model = getattr(transformers, family.model + "ForCausalLM")(built).eval()
    draw(model, family)
    model.to(getattr(torch, dtype))
    sizes = {"max_shard_size": shard} if shard else {}
    model.save_pretrained(folder, **sizes)
    save_tokenizer(folder, tokenizer or byte_level())
    return Checkpoint(Path(folder), model)


def draw(model, family, seed=1):
    """Give a model random values that make each part of it count."""
    import torch

    rng = np.random.default_rng(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            shape = tuple(parameter.shape)
            if "norm" in name:
                values = rng.uniform(0.5, 1.5, shape) - family.norms_plus
            elif name.endswith("bias"):
                values = 0.3 * rng.standard_normal(shape)
            else:
                spread = 3.0 if "mlp.gate.weight" in name or "router" in name else 1.0
                spread *= 1 if "embed" in name else shape[-1] ** -0.5
                values = spread * rng.standard_normal(shape)
            parameter.copy_(torch.from_numpy(values.astype(np.float32)))


def save_tokenizer(folder, tokenizer, **more):
    """Save a tokenizer as transformers does, with a chat template."""
    from transformers import PreTrainedTokenizerFast

    saved = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        bos_token="<s>",
        eos_token="</s>",
        chat_template=TEMPLATE,
        **more,
    )
    saved.save_pretrained(folder)
