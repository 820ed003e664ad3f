"""What can be chosen before a run: each field of the menu, what it may be, how it is changed by keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.recipe import Recipe

if TYPE_CHECKING:
    from backend.train.recipe import Technique

_ADAPTERS = ("lora", "lora-fa", "vera", "lora-plus", "delta-lora")
_SCALED = ("lora", "lora-fa", "lora-plus", "delta-lora")


@dataclass(frozen=True, slots=True)
class Field:
    """A line of the menu. `key` is table.key of the recipe.

    `ladder`: values that ← and → step through; `zero`: what 0 (or -1) means where it is shown as it is;
    `of`: techniques that have it, empty for all; `more`: shown only when more is asked for.
    """

    key: str
    label: str
    about: str
    # number, whole, switch, choice, text, names, columns, base, data, technique
    kind: str = "number"
    ladder: tuple[Any, ...] = ()
    zero: str = ""
    of: tuple[str, ...] = ()
    more: bool = False

    def belongs(self, technique: Technique) -> bool:
        """Whether this technique has it."""
        return not self.of or technique.name in self.of


_LADDER = (1, 2, 4, 8, 16, 32, 64, 128, 256)
FIELDS: tuple[Field, ...] = (
    Field("base.model", "base", "The model that learns. Its own weights stay as they are.", "base"),
    Field("data.path", "data", "A file, a folder of files, or hf:owner/name of the Hub.", "data"),
    Field("technique.name", "technique", "", "technique"),
    Field("technique.rank", "rank", "How much an adapter can hold: more learns more, and takes more.",
          "whole", _LADDER, of=_ADAPTERS),
    Field("technique.alpha", "alpha", "The change counts alpha / rank: twice the rank is common.",
          "number", _LADDER, of=_SCALED),
    Field("technique.targets", "targets", "The matrices that are adapted: all-linear, or names.",
          "names", ("all-linear", ["q_proj", "v_proj"]), of=_ADAPTERS),
    Field("schedule.epochs", "epochs", "Times over the data.", "number", (0.5, 1, 2, 3, 4, 5, 8, 10)),
    Field("schedule.batch", "batch", "Rows that pass through the model at once: b takes the most.",
          "whole", _LADDER),
    Field("schedule.learning_rate", "rate", "How far each step goes.", "number",
          (1e-5, 2e-5, 5e-5, 1e-4, 2e-4, 5e-4, 1e-3, 2e-3, 5e-3, 1e-2, 2e-2)),
    Field("name", "name", "What the run is called.", "text", zero="by base and technique", more=True),
    Field("technique.dropout", "dropout", "Share of inputs that an adapter does not see.",
          "number", (0.0, 0.05, 0.1), of=("lora", "lora-fa", "vera", "lora-plus"), more=True),
    Field("technique.rslora", "rsLoRA", "Scale by alpha / √rank, so that large ranks learn as fast.",
          "switch", of=_SCALED, more=True),
    Field("technique.dora", "DoRA", "Learn the lengths of rows apart from their directions: slower.",
          "switch", of=("lora", "lora-plus"), more=True),
    Field("technique.projected", "projected", "B's step is the best fit of the full gradient.",
          "switch", of=("lora-fa",), more=True),
    Field("technique.ratio", "ratio", "How many times faster B learns than A.",
          "number", (1, 2, 4, 8, 16, 32), of=("lora-plus",), more=True),
    Field("technique.update_ratio", "lambda", "The share of each step that moves the weights too.",
          "number", (0.0, 0.25, 0.5, 1.0, 2.0), of=("delta-lora",), more=True),
    Field("technique.start_step", "from step", "Steps before the weights begin to move.",
          "whole", (-1, 0, 10, 50, 100, 500), "a tenth of the run", of=("delta-lora",), more=True),
    Field("data.format", "format", "How rows are read.", "choice",
          ("auto", "messages", "sharegpt", "alpaca", "prompt", "text"), more=True),
    Field("data.columns", "columns", "Unusual names, as in prompt=question, completion=answer.",
          "columns", zero="the usual ones", more=True),
    Field("data.split", "split", "Which part of a Hub data set is learned.", "text", more=True),
    Field("data.train_on", "learn", "Only what the model is to say, or the prompts too.", "choice",
          ("completion", "all"), more=True),
    Field("data.template", "template", "Put rows into the model's own chat template.", "choice",
          ("auto", "none"), more=True),
    Field("data.system", "system", "A first instruction for rows that have none.", "text", zero="none",
          more=True),
    Field("data.skip_refused", "leave out", "Leave out rows that cannot be used.", "switch", more=True),
    Field("data.validation", "held back", "Share of rows that are not learned, to test with.",
          "number", (0.0, 0.02, 0.05, 0.1, 0.2), more=True),
    Field("data.validation_path", "test file", "A file to test with, in place of rows held back.",
          "text", zero="none", more=True),
    Field("data.max_length", "length", "Tokens of a row; longer ones are cut.", "whole",
          (128, 256, 512, 1024, 2048, 4096, 8192), more=True),
    Field("data.packing", "packing", "Put several short rows into one sequence.", "switch", more=True),
    Field("schedule.max_steps", "steps", "Stop after so many steps.", "whole",
          (0, 10, 50, 100, 200, 500, 1000), "by epochs", more=True),
    Field("schedule.accumulation", "accumulate", "Batches that make one step.", "whole", _LADDER,
          more=True),
    Field("schedule.gradient_checkpointing", "checkpoint", "Less memory, a third more time.", "switch",
          more=True),
    Field("schedule.warmup", "warm-up", "Share of the steps in which the rate rises.", "number",
          (0.0, 0.03, 0.05, 0.1), more=True),
    Field("schedule.decay", "decay", "How the rate falls.", "choice", ("linear", "cosine", "constant"),
          more=True),
    Field("schedule.weight_decay", "weight decay", "Pulls what learns towards nought.", "number",
          (0.0, 0.01, 0.1), more=True),
    Field("schedule.seed", "seed", "Of everything random.", "whole", more=True),
    Field("watch.patience", "patience", "Stop after so many evaluations without a better one.",
          "whole", (0, 2, 3, 5), "never", more=True),
    Field("watch.sample_every", "samples", "Steps between samples of the model's answers.", "whole",
          (-1, 0, 10, 50, 100), more=True),
    Field("save.every", "save", "Steps between checkpoints.", "whole", (0, 10, 50, 100, 500),
          "ten in a run", more=True),
    Field("base.device", "device", "Where it trains.", "choice", ("auto", "cpu", "cuda", "mps"),
          more=True),
    Field("schedule.processes", "devices", "Processes that train together, one a device.", "whole",
          (1, 2, 4, 8), more=True),
    Field("base.dtype", "weights as", "Type of the frozen weights.", "choice",
          ("auto", "float32", "bfloat16"), more=True),
    Field("base.load_in_4bit", "4 bits", "Keep frozen weights in 4 bits (CUDA).", "switch", more=True),
)  # fmt: skip
BY_KEY = {field.key: field for field in FIELDS}


def value(recipe: Recipe, key: str) -> Any:
    """Return what a recipe says."""
    table, _, name = key.rpartition(".")
    return getattr(getattr(recipe, table) if table else recipe, name)


def put(recipe: Recipe, key: str, new: Any) -> Recipe:
    """Return a recipe with another value. Raises SternaError `bad_recipe`."""
    table, _, name = key.rpartition(".")
    if not table:
        changed = msgspec.structs.replace(recipe, **{name: new})
    else:
        part = msgspec.structs.replace(getattr(recipe, table), **{name: new})
        changed = msgspec.structs.replace(recipe, **{table: part})
    changed = _fitting(changed) if key == "technique.name" else changed
    recipes.check(changed)
    return changed


def _fitting(recipe: Recipe) -> Recipe:
    """Drop what the technique does not have; its numbers go back to its own defaults."""
    t = recipe.technique
    fresh = type(t)(name=t.name, targets=t.targets)
    schedule = msgspec.structs.replace(recipe.schedule, learning_rate=0.0)
    return msgspec.structs.replace(recipe, technique=fresh, schedule=schedule)


def step(field: Field, now: Any, by: int) -> Any:
    """Return the next value in a direction: around for choices, to the ends of a ladder for numbers."""
    if field.kind == "switch":
        return not now
    ladder = field.ladder
    if field.kind in ("choice", "names"):
        place = ladder.index(now) if now in ladder else -1
        return ladder[(place + by) % len(ladder)]
    if by > 0:
        return next((v for v in ladder if v > now * (1 + 1e-9) and v > now), now)
    return next((v for v in reversed(ladder) if v < now * (1 - 1e-9) or (v < now <= 0)), now)


def parse(field: Field, text: str) -> Any:
    """Return what was typed as a value. Raises SternaError `bad_argument`."""
    readers: dict[str, Callable[[str], Any]] = {
        "number": float,
        "whole": int,
        "names": _names,
        "columns": columns,
        "text": str.strip,
        "base": str.strip,
        "data": str.strip,
    }
    try:
        return readers[field.kind](text)
    except ValueError:
        wanted = {"whole": "a whole number", "columns": "ROLE=NAME, as in prompt=question"}.get(
            field.kind, "a number"
        )
        raise SternaError(
            "bad_argument", f"{field.label} takes {wanted}.", "Type it again."
        ) from None


def shown(field: Field, now: Any, filled: Any) -> str:
    """Return a value for people; `filled` is what an open one will be."""
    if field.kind == "switch":
        return "yes" if now else "no"
    if field.kind == "names":
        return now if isinstance(now, str) else ", ".join(now)
    if field.zero and now in (0, -1, "", {}):
        return field.zero
    if field.kind == "columns":
        return written(now)
    if field.key == "watch.sample_every" and now <= 0:
        return "none" if now < 0 else "four in a run"
    if field.kind in ("number", "whole"):
        if now == 0 and field.ladder and 0 not in field.ladder:  # open: never 0 itself
            return f"{filled:g} (by the model)" if filled else "by the model"
        return f"{filled:g}"
    return str(now)


def _names(text: str) -> str | list[str]:
    names = [name for name in text.replace(",", " ").split() if name]
    return "all-linear" if names in ([], ["all-linear"]) else names


def columns(text: str) -> dict[str, str]:
    """Return the columns of "role=name, role=name". Raises ValueError."""
    pairs = [
        [part.strip() for part in pair.split("=", 1)] for pair in text.split(",") if pair.strip()
    ]
    if not all(len(pair) == 2 and all(pair) for pair in pairs):
        raise ValueError(text)
    return dict(pairs)


def written(now: Any) -> str:
    """Return a value as it is typed."""
    if isinstance(now, dict):
        return ", ".join(f"{role}={name}" for role, name in now.items())
    if isinstance(now, list):
        return ", ".join(now)
    return f"{now:g}" if isinstance(now, float) else str(now)


def again(recipe: Recipe) -> Recipe:
    """Return the choices of an earlier run for a new one; what it had filled in is open again."""
    return msgspec.structs.replace(
        recipe,
        name="",
        watch=msgspec.structs.replace(recipe.watch, evaluate_every=0, sample_every=0),
        save=msgspec.structs.replace(recipe.save, every=0),
    )
