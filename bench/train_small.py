"""Train a small Llama on a text, to judge quants by: `python -m bench.train_small TEXT OUT.gguf --minutes 10`.

Random weights say nothing about quants, and published models are large. Rows are multiples of 256, so that
every type fits. The last twentieth of the text is never trained on: it is written beside the model, as
OUT.txt, for `sterna eval`. Needs the extra `train`.
"""

import argparse
import math
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from backend.gguf.converting import convert

VOCABULARY, CONTEXT, BATCH = 2048, 256, 8
PEAK, WARM_UP = 2e-3, 20  # learning rate, and steps until it is reached


def tokenizer_of(text: str) -> PreTrainedTokenizerFast:
    """Learn byte-level BPE from a text."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator([text], trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>")


def small_llama(layers: int) -> LlamaForCausalLM:
    """Return an untrained model."""
    config = LlamaConfig(
        vocab_size=VOCABULARY,
        hidden_size=256,
        intermediate_size=768,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=512,
        bos_token_id=0,
        eos_token_id=1,
        tie_word_embeddings=False,
    )
    return LlamaForCausalLM(config)


def train(model: LlamaForCausalLM, ids: np.ndarray, minutes: float) -> None:
    """Train until the time is up: AdamW, warm-up, then a cosine to a tenth."""
    optimizer = torch.optim.AdamW(model.parameters(), lr=PEAK, betas=(0.9, 0.95), weight_decay=0.1)
    random, start, step = np.random.default_rng(0), time.monotonic(), 0
    model.train()
    while (share := (time.monotonic() - start) / 60 / minutes) < 1:
        rate = PEAK * min((step + 1) / WARM_UP, 0.55 + 0.45 * math.cos(math.pi * share))
        for group in optimizer.param_groups:
            group["lr"] = rate
        starts = random.integers(0, len(ids) - CONTEXT, BATCH)
        batch = torch.from_numpy(np.stack([ids[at : at + CONTEXT] for at in starts]))
        loss = model(batch, labels=batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 25 == 0:
            print(f"step {step}: loss {loss.item():.3f}", file=sys.stderr)
        step += 1


def main() -> None:
    """Train, write the model and the text that it never saw."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("text", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--layers", type=int, default=8)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    torch.manual_seed(0)
    torch.set_num_threads(args.threads)
    text = args.text.read_text(encoding="utf-8")
    cut = len(text) * 19 // 20
    args.out.with_suffix(".txt").write_text(text[cut:], encoding="utf-8")
    tokenizer = tokenizer_of(text[:cut])
    model = small_llama(args.layers)
    train(model, np.array(tokenizer.encode(text[:cut]), np.int64), args.minutes)
    with tempfile.TemporaryDirectory() as folder:
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        made = convert(folder, args.out)
    print(f"{made.path}: {made.bytes} bytes")


if __name__ == "__main__":
    main()
