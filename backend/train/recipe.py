"""The recipe of a run: everything there is to know about it, as `run.toml` keeps it.

`sterna train run.toml` repeats a run. What a recipe leaves open (`rank = 0`, `learning_rate = 0.0`, …)
is filled in by `backend.train.defaults` before the run begins and written back, so that a folder of a
run always holds the numbers it ran with.
"""

import contextlib
import os
import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from backend.errors import SternaError

TechniqueName = Literal["sft", "lora", "lora-fa", "vera", "lora-plus", "delta-lora"]
FormatName = Literal["auto", "messages", "sharegpt", "alpaca", "prompt", "text"]

_MAX_BYTES = 1 << 20


class _Part(msgspec.Struct, forbid_unknown_fields=True):
    """A table of the file: unknown keys are refused, so that a misspelt one is never ignored."""


class Base(_Part, kw_only=True):
    """What is trained on."""

    model: str
    """A folder, a .gguf file, a name from `sterna ls`, or owner/repo[@revision] of the Hub."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Type of the frozen weights; auto: float32 on a processor, bfloat16 on a graphics card."""
    load_in_4bit: bool = False
    """Keep frozen weights in 4 bits (bitsandbytes; CUDA only)."""
    device: Literal["auto", "cpu", "cuda", "mps"] = "auto"


class Data(_Part, kw_only=True):
    """What is learned."""

    path: str
    """A file (.jsonl .json .csv .parquet .txt), a folder of them, or hf:owner/name[/part][@revision]."""
    format: FormatName = "auto"
    columns: dict[str, str] = {}
    """Names of columns where they are not the usual ones, as in {prompt = "question"}."""
    split: str = "train"
    """Split of a Hub dataset."""
    validation: float = 0.05
    """Share of the rows held back for evaluation; 0 holds back none."""
    validation_path: str = ""
    """A file of its own for evaluation, in place of a share."""
    max_length: int = 1024
    """Tokens of a row; what is longer is cut at the end."""
    packing: bool = False
    """Put several short rows into one sequence; they do not see each other."""
    train_on: Literal["completion", "all"] = "completion"
    """Learn only what the model is to say, or the prompts too."""
    template: Literal["auto", "none"] = "auto"
    """Put prompts into the model's chat template, or take them as plain text."""
    system: str = ""
    """A first instruction for rows that have none."""
    skip_refused: bool = False
    """Leave out rows that cannot be used, instead of refusing the file."""


class Technique(_Part, kw_only=True):
    """How the weights change."""

    name: TechniqueName = "lora"
    rank: int = 0
    """0: by the size of the model."""
    alpha: float = 0.0
    """Scale of the change is alpha / rank. 0: twice the rank."""
    dropout: float = 0.0
    targets: str | list[str] = "all-linear"
    """Names of the matrices to adapt, or all-linear: every one but the output matrix."""
    rslora: bool = False
    """Scale by alpha / sqrt(rank) (Kalajdzievski 2023)."""
    dora: bool = False
    """Learn magnitude and direction apart (Liu et al. 2024)."""
    projected: bool = False
    """LoRA-FA: make B's step the best fit of the full gradient."""
    ratio: float = 16.0
    """LoRA+: how many times faster B learns than A."""
    update_ratio: float = 0.5
    """Delta-LoRA: lambda, the share of each step that moves the weights too."""
    start_step: int = -1
    """Delta-LoRA: steps before the weights begin to move. -1: a tenth of the run."""
    d_initial: float = 0.1
    """VeRA: first value of the vector d."""
    projection_seed: int = 0
    """VeRA: seed of the shared random matrices."""


class Schedule(_Part, kw_only=True):
    """How long and how fast."""

    epochs: float = 2.0
    max_steps: int = 0
    """Stop after so many steps; 0: after the epochs."""
    batch: int = 4
    """Rows that pass through the model at once."""
    accumulation: int = 1
    """Batches that make one step."""
    learning_rate: float = 0.0
    """0: by technique and size of the model."""
    warmup: float = 0.05
    """Share of the steps in which the learning rate rises."""
    decay: Literal["linear", "cosine", "constant"] = "linear"
    weight_decay: float = 0.0
    max_grad_norm: float = 1.0
    gradient_checkpointing: bool = False
    """Compute activations again in the backward pass: less memory, a third more time."""
    seed: int = 42
    threads: int = 0
    """Threads of the processor; 0: its cores. Kept, for the last bit of a sum depends on it."""
    processes: int = 1
    """Processes that train together, one a device (by accelerate)."""


class Watch(_Part, kw_only=True):
    """What is looked at on the way."""

    log_every: int = 1
    evaluate_every: int = 0
    """Steps between evaluations; 0: about ten in a run."""
    patience: int = 0
    """Stop after so many evaluations without a better one; 0: never."""
    sample_every: int = 0
    """Steps between samples of the model's answers; 0: about four in a run, -1: none."""
    sample_tokens: int = 48
    prompts: list[str] = []
    """What to ask for samples; without any, the first rows held back."""


class Save(_Part, kw_only=True):
    """What is kept."""

    every: int = 0
    """Steps between checkpoints; 0: about ten in a run."""
    keep: int = 2
    """Newest checkpoints that are kept; the best one stays beside them."""


class Recipe(_Part, kw_only=True):
    """A whole run."""

    name: str = ""
    base: Base
    data: Data
    technique: Technique = msgspec.field(default_factory=Technique)
    schedule: Schedule = msgspec.field(default_factory=Schedule)
    watch: Watch = msgspec.field(default_factory=Watch)
    save: Save = msgspec.field(default_factory=Save)


def load(path: Path) -> Recipe:
    """Read a recipe; raises SternaError `bad_recipe` that names the key and the file."""
    try:
        if path.stat().st_size > _MAX_BYTES:
            raise SternaError("bad_recipe", f"{path} is too large for a recipe.", "Check the path.")
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8 text"
        raise SternaError(
            "bad_recipe", f"The recipe {path} cannot be read: {reason}.", "Check the path."
        ) from error
    try:
        recipe = msgspec.convert(tomllib.loads(text), Recipe)
    except tomllib.TOMLDecodeError as error:
        raise SternaError(
            "bad_recipe", f"{path} is not valid TOML: {error}.", "Mend that line."
        ) from error
    except (msgspec.ValidationError, RecursionError) as error:
        raise SternaError(
            "bad_recipe",
            f"{path}: {error}.",
            "Mend or delete that key; docs/training.md lists them.",
        ) from error
    check(recipe)
    return recipe


def save(recipe: Recipe, path: Path) -> None:
    """Write a recipe whole or not at all. Raises OSError."""
    import tomli_w

    fresh = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with fresh.open("wb") as file:
            tomli_w.dump(as_dict(recipe), file)
            file.flush()
            os.fsync(file.fileno())
        fresh.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            fresh.unlink()
        raise


def as_dict(recipe: Recipe) -> dict[str, Any]:
    """Return the recipe as plain values."""
    plain: dict[str, Any] = msgspec.to_builtins(recipe)
    return plain


def from_dict(plain: dict[str, Any]) -> Recipe:
    """Return the recipe of plain values, checked. Raises SternaError `bad_recipe`."""
    try:
        recipe = msgspec.convert(plain, Recipe)
    except msgspec.ValidationError as error:
        raise SternaError(
            "bad_recipe", f"This is no recipe: {error}.", "See `sterna train --help`."
        ) from error
    check(recipe)
    return recipe


def check(recipe: Recipe) -> None:
    """Refuse numbers that make no sense, each with its key. Raises SternaError `bad_recipe`."""
    t, s, d = recipe.technique, recipe.schedule, recipe.data
    rules = (
        ("technique.rank", 0 <= t.rank <= 65_536, "from 0 (by the model's size) to 65536"),
        ("technique.alpha", _finite(t.alpha) and t.alpha >= 0, "0 (twice the rank) or more"),
        ("technique.dropout", 0 <= t.dropout < 1, "from 0 to below 1"),
        ("technique.ratio", _finite(t.ratio) and t.ratio > 0, "above 0"),
        ("technique.update_ratio", _finite(t.update_ratio) and t.update_ratio >= 0, "0 or more"),
        ("technique.start_step", t.start_step >= -1, "-1 (a tenth of the run) or more"),
        ("schedule.epochs", _finite(s.epochs) and 0 < s.epochs <= 10_000, "above 0"),
        ("schedule.max_steps", s.max_steps >= 0, "0 (by epochs) or more"),
        ("schedule.batch", 1 <= s.batch <= 65_536, "1 or more"),
        ("schedule.accumulation", 1 <= s.accumulation <= 65_536, "1 or more"),
        (
            "schedule.learning_rate",
            _finite(s.learning_rate) and 0 <= s.learning_rate <= 1,
            "0 to 1",
        ),
        ("schedule.warmup", 0 <= s.warmup < 1, "a share from 0 to below 1"),
        ("schedule.weight_decay", _finite(s.weight_decay) and s.weight_decay >= 0, "0 or more"),
        ("schedule.max_grad_norm", _finite(s.max_grad_norm) and s.max_grad_norm >= 0, "0 or more"),
        ("schedule.processes", 1 <= s.processes <= 1024, "1 or more"),
        ("schedule.threads", 0 <= s.threads <= 4096, "0 (the cores) or more"),
        ("data.validation", 0 <= d.validation < 1, "a share from 0 to below 1"),
        ("data.max_length", 8 <= d.max_length <= 1 << 20, "from 8 to 1048576"),
        ("watch.log_every", recipe.watch.log_every >= 1, "1 or more"),
        ("watch.evaluate_every", recipe.watch.evaluate_every >= 0, "0 or more"),
        ("watch.patience", recipe.watch.patience >= 0, "0 or more"),
        ("watch.sample_tokens", 1 <= recipe.watch.sample_tokens <= 4096, "from 1 to 4096"),
        ("save.every", recipe.save.every >= 0, "0 or more"),
        ("save.keep", 1 <= recipe.save.keep <= 1000, "1 or more"),
    )
    for key, good, wanted in rules:
        if not good:
            raise SternaError("bad_recipe", f"{key} must be {wanted}.", "Change it in the recipe.")
    _check_technique(t)


def _check_technique(t: Technique) -> None:
    if t.name == "delta-lora" and t.dropout:
        raise SternaError(
            "bad_recipe",
            "Delta-LoRA allows no dropout: the gradient of the product must be that of the weights.",
            "Set technique.dropout to 0.",
        )
    if t.dora and t.name not in ("lora", "lora-plus"):
        raise SternaError(
            "bad_recipe",
            f"DoRA is an option of LoRA and LoRA+, not of {t.name}.",
            "Set technique.dora to false.",
        )
    if isinstance(t.targets, str) and t.targets != "all-linear":
        raise SternaError(
            "bad_recipe",
            f"technique.targets is {t.targets!r}.",
            'Give "all-linear" or a list such as ["q_proj", "v_proj"].',
        )
    if not t.targets:
        raise SternaError("bad_recipe", "technique.targets is empty.", 'Give "all-linear".')


def _finite(value: float) -> bool:
    return value == value and abs(value) != float("inf")
