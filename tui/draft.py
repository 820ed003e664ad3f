"""A fine-tune that is being put together: its recipe, what is known of base and data, what it will take."""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from backend.text import clean
from backend.train import defaults
from backend.train.catalogue import CATALOGUE
from backend.train.recipe import Base, Data, Recipe, TechniqueName
from backend.units import human_bytes, human_count, human_seconds
from tui import train_fields
from tui.panes.run_pane import TITLES
from tui.widgets import meter

if TYPE_CHECKING:
    from backend.errors import SternaError
    from backend.train.estimate import Estimate
    from backend.train.shape import ModelShape


def fresh() -> Recipe:
    """Return a recipe with nothing chosen."""
    return Recipe(base=Base(model=""), data=Data(path=""))


@dataclass
class Draft:
    """What the menu shows. `seen`: the preview of the data; each error belongs to the thing named."""

    recipe: Recipe = field(default_factory=fresh)
    marked: set[TechniqueName] = field(default_factory=set)  # for a race
    base_name: str = ""
    shape: ModelShape | None = None
    seen: dict[str, Any] | None = None
    estimate: Estimate | None = None
    base_error: SternaError | None = None
    data_error: SternaError | None = None
    looking: bool = False

    @property
    def filled(self) -> Recipe:
        """The recipe with its open numbers filled in, as far as the base decides them."""
        return defaults.before(self.recipe, self.shape) if self.shape else self.recipe

    @property
    def missing(self) -> str:
        """The key of what has to be chosen before a start, empty when nothing is missing."""
        if not self.recipe.base.model or self.base_error:
            return "base.model"
        return "data.path" if not self.recipe.data.path or self.data_error else ""

    def base_text(self) -> str:
        """Return the base in a line."""
        if not self.recipe.base.model:
            return "choose a model (space)"
        name = self.base_name or self.recipe.base.model
        if self.base_error:
            return f"{clean(name)}  ✗ {clean(self.base_error.message)}"
        if self.shape is None:
            return f"{clean(name)}  …"
        kind = "ternary: stays ternary" if self.shape.ternary else self.shape.family
        return f"{clean(name)} · {human_count(self.shape.params)} · {clean(kind)}"

    def data_text(self) -> str:
        """Return the data in a line."""
        path = self.recipe.data.path
        if not path:
            return "choose a file (space)"
        name = path if path.startswith("hf:") else path.rstrip("/").rpartition("/")[2]
        if self.data_error:
            return f"{clean(name)}  ✗ {clean(self.data_error.message)}"
        if self.seen is None:
            return f"{clean(name)}  {'reading…' if self.looking else ''}"
        s = self.seen
        refused = f" · {s['refused']} left out" if s["refused"] else ""
        cut = f" · {s['truncated']} cut" if s["truncated"] else ""
        share = f"{100 * s['supervised_share']:.0f} % learned"
        return f"{clean(name)} · {clean(s['title'])} · {s['rows_total']:,} rows · {share}{refused}{cut}"

    def sentence(self) -> str:
        """Return the whole in words."""
        recipe = self.filled
        base = clean(self.base_name) if recipe.base.model and self.base_name else "a model"
        rows = f"my {self.seen['rows_total']:,} examples " if self.seen else ""
        names = [TITLES[n] for n in CATALOGUE if n in self.marked] or [
            TITLES[recipe.technique.name]
        ]
        how = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]} in turn"
        rank = recipe.technique.rank
        size = (
            f", rank {rank}" if rank and recipe.technique.name != "sft" and len(names) == 1 else ""
        )
        s = recipe.schedule
        long = f"{s.max_steps} steps" if s.max_steps else f"{s.epochs:g} epochs"
        return f"Teach {base} {rows}with {how}{size}, {long}."

    def about(self) -> str:
        """Return the technique in one sentence, with its paper."""
        entry = CATALOGUE[self.recipe.technique.name]
        return f"{entry.about} [{entry.paper.partition(',')[0]}]"

    def estimate_lines(self, width: int) -> list[str]:
        """Return what it will take, in three lines at most."""
        made = self.estimate
        if self.looking:  # nothing is told of rows that are not known yet
            return ["The data are being read: what it takes is told when they are."]
        if made is None or self.shape is None:
            return ["What it takes is told here as soon as base and data are chosen."]
        over = made.peak_memory - made.available
        verdict = "fits" if made.fits else f"✗ too much by {human_bytes(over)}"
        share = 100 * made.trainable_parameters / max(1, self.shape.params)
        bar = meter.bar(min(made.peak_memory, made.available), made.available, 12)
        memory = f"{bar} peak {human_bytes(made.peak_memory)} of {human_bytes(made.available)} free: {verdict}"
        time = f"about {human_seconds(made.seconds)} · {made.steps} steps"
        if self.seen is None:
            time += f" if there are 1,000 rows of {self.recipe.data.max_length:,} tokens"
        trains = (
            f"trains {human_count(made.trainable_parameters)} ({share:.2g} %) · "
            f"adapter {human_bytes(made.adapter_bytes)}"
        )
        most = (
            f"batch {self.recipe.schedule.batch} (b largest: {made.largest_batch or 'none fits'})"
        )
        lines = [f"{memory} · {time}"] if width >= 100 else [memory, time]
        return [*lines, f"{trains} · {most}"]

    def command(self) -> str:
        """Return the command that does the same."""
        plain = fresh()
        parts = [
            "sterna",
            "train",
            "--base",
            self.recipe.base.model,
            "--data",
            self.recipe.data.path,
        ]
        for one in train_fields.FIELDS[2:]:
            now = train_fields.value(self.recipe, one.key)
            if now != train_fields.value(plain, one.key) and one.key in FLAGS:
                parts += _flag(FLAGS[one.key], now)
        return shlex.join(parts)


FLAGS = {
    "technique.name": "--technique", "technique.rank": "--rank", "technique.alpha": "--alpha",
    "technique.targets": "--targets", "technique.dropout": "--dropout", "technique.rslora": "--rslora",
    "technique.dora": "--dora", "technique.projected": "--projected", "technique.ratio": "--ratio",
    "technique.update_ratio": "--update-ratio", "technique.start_step": "--start-step",
    "schedule.epochs": "--epochs", "schedule.max_steps": "--steps", "schedule.batch": "--batch",
    "schedule.accumulation": "--accumulation", "schedule.learning_rate": "--lr",
    "schedule.gradient_checkpointing": "--checkpointing", "schedule.warmup": "--warmup",
    "schedule.decay": "--decay", "schedule.weight_decay": "--weight-decay",
    "schedule.seed": "--seed", "schedule.processes": "--processes", "data.format": "--format", "data.columns": "--columns",
    "data.split": "--split", "data.validation_path": "--validation-data", "data.train_on": "--train-on",
    "data.template": "--no-template", "data.system": "--system",
    "data.skip_refused": "--skip-refused", "data.validation": "--validation",
    "data.max_length": "--max-length", "data.packing": "--packing", "watch.patience": "--patience",
    "watch.sample_every": "--sample-every", "save.every": "--save-every", "base.device": "--device",
    "base.dtype": "--dtype", "base.load_in_4bit": "--4bit", "name": "--name",
}  # fmt: skip


def _flag(flag: str, now: Any) -> list[str]:
    if isinstance(now, bool) or flag == "--no-template":
        return [flag]
    typed = train_fields.written(now)
    return [flag, typed.replace(", ", ",") if isinstance(now, (list, dict)) else typed]
