"""Train the starter model: one command, from the guide to a GGUF file.

    python assets/starter/train.py --minutes 45 --threads 2 --out assets/starter.gguf

Needs the `train` extra (torch) and nothing from the network. The same seed, time aside, gives the same
data; the learning rate follows the clock, so that the run ends when it should.
"""

import argparse
import math
import random
import time
from pathlib import Path

import torch
import torch.nn.functional as functional
from bitnet import BitNet, Shape
from corpus import END, conversation, read_guide, read_rephrased
from export import SPECIAL, export
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers


def make_tokenizer(texts: list[str], vocab: int) -> Tokenizer:
    """Train a byte-level BPE vocabulary."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab,
        special_tokens=list(SPECIAL),
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    return tokenizer


class Data:
    """Draws batches of conversations; only the answers carry loss."""

    def __init__(self, tokenizer: Tokenizer, seed: int) -> None:
        self.tokenizer = tokenizer
        self.facts = read_guide()
        self.rng = random.Random(seed)
        held = {left.lower().strip("?!. ") for left, _ in read_rephrased()}
        self._held = held

    def example(self) -> tuple[list[int], list[int]]:
        """Return (ids, labels) of one conversation; labels of what is not learned are -100."""
        ids: list[int] = []
        labels: list[int] = []
        for question, answer in conversation(self.facts, self.rng):
            if question.lower().strip("?!. ") in self._held:
                question = question + " now"
            asked = self.ids(f"<|im_start|>user\n{question}{END}\n<|im_start|>assistant\n")
            said = self.ids(f"{answer}{END}")
            rest = self.ids("\n")
            ids += asked + said + rest
            labels += [-100] * len(asked) + said + [-100] * len(rest)
        return ids, labels

    def ids(self, text: str) -> list[int]:
        """Token ids of a text, special tokens parsed."""
        return self.tokenizer.encode(text).ids

    def batch(self, tokens: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return ids and labels [batch, time] of about `tokens` tokens, conversations of like length."""
        pool = sorted((self.example() for _ in range(64)), key=lambda e: len(e[0]))
        start = self.rng.randrange(len(pool) - 8)
        chosen = []
        for example in pool[start:]:
            if chosen and (len(chosen) + 1) * len(example[0]) > tokens:
                break
            chosen.append(example)
        width = max(len(ids) for ids, _ in chosen)
        ids = torch.zeros(len(chosen), width, dtype=torch.long)
        labels = torch.full((len(chosen), width), -100)
        for i, (row, wanted) in enumerate(chosen):
            ids[i, : len(row)] = torch.tensor(row)
            labels[i, : len(row)] = torch.tensor(wanted)
        return ids, labels


def step_loss(model: BitNet, ids: torch.Tensor, labels: torch.Tensor) -> torch.Tensor:
    """Mean cross-entropy of the answers' tokens."""
    hidden = model(ids[:, :-1])
    wanted = labels[:, 1:]
    learned = wanted >= 0
    return functional.cross_entropy(model.logits(hidden[learned]), wanted[learned])


@torch.no_grad()
def answer(model: BitNet, tokenizer: Tokenizer, question: str) -> str:
    """Return the greedy answer to one question."""
    ids = tokenizer.encode(f"<|im_start|>user\n{question}{END}\n<|im_start|>assistant\n").ids
    out: list[int] = []
    end = tokenizer.token_to_id(END)
    while len(out) < 90:
        token = int(model.logits(model(torch.tensor([ids + out]))[0, -1]).argmax())
        if token == end:
            break
        out.append(token)
    return tokenizer.decode(out)


def report(model: BitNet, tokenizer: Tokenizer) -> tuple[float, float]:
    """Return the share of the guide's first questions and of the held-out ones answered word for word."""
    facts = read_guide()
    answers = {q: f.answer for f in facts for q in f.questions}
    own = [answer(model, tokenizer, f.questions[0]) == f.answer for f in facts]
    held = [answer(model, tokenizer, left) == answers[right] for left, right in read_rephrased()]
    return sum(own) / len(own), sum(held) / len(held)


def train(
    shape: Shape, minutes: float, tokens: int, peak: float, seed: int, out: Path
) -> tuple[BitNet, Tokenizer]:
    """Train until the time is up; the learning rate warms up for 3 % and then falls to zero.

    Every fifth of the time the model so far is written to `out`, to be looked at.
    """
    torch.manual_seed(seed)
    rng = random.Random(seed)
    texts = [
        t
        for _ in range(40)
        for f in read_guide()
        for t in (*conversation([f], rng)[0], *f.questions)
    ]
    tokenizer = make_tokenizer(texts, shape.vocab)
    model = BitNet(Shape(**{**shape.__dict__, "vocab": tokenizer.get_vocab_size()}))
    data = Data(tokenizer, seed)
    decay = [p for p in model.parameters() if p.dim() > 1]
    flat = [p for p in model.parameters() if p.dim() < 2]
    optimizer = torch.optim.AdamW(
        [{"params": decay, "weight_decay": 0.05}, {"params": flat, "weight_decay": 0.0}],
        betas=(0.9, 0.98),
    )
    start, seen, step, running, saved = time.monotonic(), 0, 0, 0.0, 0
    while (done := (time.monotonic() - start) / (60 * minutes)) < 1:
        rate = peak * min(1.0, done / 0.03 + 0.01) * 0.5 * (1 + math.cos(math.pi * done))
        for group in optimizer.param_groups:
            group["lr"] = rate
        ids, labels = data.batch(tokens)
        loss = step_loss(model, ids, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        step += 1
        seen += ids.numel()
        value = loss.item()
        running = value if step == 1 else 0.98 * running + 0.02 * value
        if step % 50 == 0:
            spent = time.monotonic() - start
            left = 60 * minutes - spent
            print(
                f"step {step}  loss {running:.4f}  {seen / spent:.0f} tokens/s  {left / 60:.1f} min left",
                flush=True,
            )
        if int(done * 5) > saved:
            saved = int(done * 5)
            export(model, tokenizer, out)
    return model, tokenizer


def main() -> None:
    """Parse the arguments, train, export, report."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=float, default=45)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--tokens", type=int, default=2048, help="tokens of a batch")
    parser.add_argument("--rate", type=float, default=2e-3, help="peak learning rate")
    parser.add_argument("--layers", type=int, default=Shape.layers)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--no-report", action="store_true", help="do not ask it everything at the end"
    )
    parser.add_argument("--out", type=Path, default=Path("starter.gguf"))
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    shape = Shape(layers=arguments.layers)
    model, tokenizer = train(
        shape, arguments.minutes, arguments.tokens, arguments.rate, arguments.seed, arguments.out
    )
    export(model, tokenizer, arguments.out)
    print(f"{arguments.out}: {arguments.out.stat().st_size / 1e6:.2f} MB")
    if not arguments.no_report:
        own, held = report(model, tokenizer)
        print(f"own questions {own:.0%}, held-out rephrasings {held:.0%} answered word for word")


if __name__ == "__main__":
    main()
