"""The guide as conversations: reading, rephrasing by rule, and turning into token ids."""

import random
import re
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
END = "<|im_end|>"
TEMPLATE = (
    "{% for message in messages %}"
    "{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] | trim + '<|im_end|>\\n' }}"
    "{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"
)

_PREFIXES = (
    "",
    "",
    "",
    "",
    "please tell me ",
    "tell me ",
    "can you tell me ",
    "i want to know ",
    "hey, ",
    "ok, ",
    "so ",
    "um, ",
)
_SWAPS = (
    (
        r"^what is ",
        (
            "what's ",
            "whats ",
            "explain ",
            "tell me about ",
            "what exactly is ",
            "describe ",
            "what does it mean: ",
            "",
        ),
    ),
    (
        r"^what does (.+) mean$",
        (r"what is \1", r"meaning of \1", r"what does \1 stand for", r"explain what \1 means"),
    ),
    (r"^explain ", ("please explain ", "can you explain ", "could you explain ", "describe ")),
    (
        r"^how do i ",
        ("how can i ", "how to ", "how does one ", "what is the way to ", "how should i "),
    ),
    (
        r"^which (\w+) should i ",
        (r"what \1 should i ", r"which \1 do i ", r"which \1 would you ", r"what \1 is best to "),
    ),
    (
        r"^should i use ",
        ("is it good to use ", "can i use ", "do you recommend ", "would you use "),
    ),
    (r"^can i ", ("is it possible to ", "could i ", "may i ")),
    (r"^do i need ", ("must i have ", "is it necessary to have ", "do you need ")),
    (r"^how much ", ("about how much ", "roughly how much ")),
    (r"^why ", ("for what reason ", "tell me why ", "how come ")),
    (r"^are ", ("so are ", "is it true that ")),
    (r"\bmodels\b", ("llms", "language models")),
    (r"\bsterna\b", ("this program", "this app")),
)
_SUFFIXES = (
    "",
    "",
    "",
    "",
    "?",
    "?",
    "?",
    " please",
    " please?",
    ".",
    "!",
    " for me",
    " exactly?",
    " here?",
)


@dataclass(frozen=True)
class Fact:
    """One answer and the questions that ask for it."""

    questions: tuple[str, ...]
    answer: str


def read_guide(path: Path = HERE / "guide.txt") -> list[Fact]:
    """Read the guide: blocks of `? ` lines followed by the answer."""
    facts = []
    for block in re.split(r"\n\s*\n", path.read_text(encoding="utf-8")):
        lines = [line for line in block.splitlines() if line and not line.startswith("#")]
        questions = tuple(line[2:].strip() for line in lines if line.startswith("? "))
        answer = " ".join(line.strip() for line in lines if not line.startswith("? "))
        if questions and answer:
            facts.append(Fact(questions, answer))
    return facts


def read_rephrased(path: Path = HERE / "rephrased.txt") -> list[tuple[str, str]]:
    """Read the held-out questions: (rephrased, question of the guide with the same answer)."""
    lines = path.read_text(encoding="utf-8").splitlines()
    pairs = [line.split(" = ") for line in lines if " = " in line and not line.startswith("#")]
    return [(left.strip(), right.strip()) for left, right in pairs]


def _typo(text: str, rng: random.Random) -> str:
    """Swap, drop or double one letter."""
    letters = [i for i in range(1, len(text) - 1) if text[i].isalpha() and text[i + 1].isalpha()]
    if not letters:
        return text
    i = rng.choice(letters)
    return rng.choice(
        (
            text[:i] + text[i + 1] + text[i] + text[i + 2 :],
            text[:i] + text[i + 1 :],
            text[:i] + text[i] + text[i:],
        )
    )


def rephrase(question: str, rng: random.Random) -> str:
    """Return the question as another person might type it."""
    text = question
    for pattern, choices in rng.sample(_SWAPS, len(_SWAPS)):
        if rng.random() < 0.35:
            text = re.sub(pattern, rng.choice(choices), text, count=1)
            if rng.random() < 0.6:
                break
    if rng.random() < 0.3:
        text = rng.choice(_PREFIXES) + text
    text = text.strip() + rng.choice(_SUFFIXES)
    style = rng.random()
    if style < 0.35:
        text = text[:1].upper() + text[1:]
    elif style < 0.4:
        text = text.upper()
    elif style < 0.45:
        text = text.title()
    if rng.random() < 0.12:
        text = _typo(text, rng)
    if rng.random() < 0.1:
        text = text.replace("-", " ")
    return text


def conversation(facts: list[Fact], rng: random.Random) -> list[tuple[str, str]]:
    """Draw a conversation of one to three turns: (question, answer) each."""
    turns = 1 if rng.random() < 0.7 else rng.choice((2, 3))
    chosen = [rng.choice(facts) for _ in range(turns)]
    return [(rephrase(rng.choice(f.questions), rng), f.answer) for f in chosen]
