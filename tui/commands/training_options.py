"""The arguments of `sterna train`, and the recipe that they make."""

from argparse import SUPPRESS, ArgumentParser, Namespace
from collections.abc import Callable
from typing import Any

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.begin import absolute
from backend.train.recipe import Base, Data, Recipe

# Argument, table and key of the recipe, type or None for a switch, help.
_Option = tuple[str, str, str, Callable[[str], Any] | None, str]


def _names(text: str) -> str | list[str]:
    names = [name for name in text.replace(" ", ",").split(",") if name]
    return "all-linear" if names == ["all-linear"] else names


def _columns(text: str) -> dict[str, str]:
    pairs = [pair.partition("=") for pair in text.split(",") if pair]
    return {role.strip(): name.strip() for role, _, name in pairs}


_OPTIONS: tuple[_Option, ...] = (
    ("--base", "base", "model", str, "a folder, a .gguf file, a name from `sterna ls`, owner/repo"),
    ("--dtype", "base", "dtype", str, "type of frozen weights: auto, float32, bfloat16"),
    ("--device", "base", "device", str, "auto, cpu, cuda or mps"),
    ("--4bit", "base", "load_in_4bit", None, "keep frozen weights in 4 bits (CUDA)"),
    ("--data", "data", "path", str, "a file or folder, or hf:owner/name"),
    (
        "--format",
        "data",
        "format",
        str,
        "messages, sharegpt, alpaca, prompt, text (else recognised)",
    ),
    (
        "--columns",
        "data",
        "columns",
        _columns,
        "prompt=NAME,completion=NAME where names are unusual",
    ),
    ("--split", "data", "split", str, "split of a Hub data set"),
    ("--validation", "data", "validation", float, "share of rows held back for evaluation"),
    ("--validation-data", "data", "validation_path", str, "a file of its own for evaluation"),
    ("--max-length", "data", "max_length", int, "tokens of a row; longer ones are cut"),
    ("--packing", "data", "packing", None, "put short rows together into one sequence"),
    ("--train-on", "data", "train_on", str, "completion (default) or all"),
    ("--no-template", "data", "template", None, "take prompts as plain text"),
    ("--system", "data", "system", str, "first instruction for rows that have none"),
    ("--skip-refused", "data", "skip_refused", None, "leave out rows that cannot be used"),
    ("--technique", "technique", "name", str, ""),
    ("--rank", "technique", "rank", int, "rank of the adapter"),
    ("--alpha", "technique", "alpha", float, "scale of the change is alpha / rank"),
    ("--dropout", "technique", "dropout", float, "dropout before the adapter"),
    ("--targets", "technique", "targets", _names, "matrices, as in q_proj,v_proj, or all-linear"),
    ("--rslora", "technique", "rslora", None, "scale by alpha / sqrt(rank)"),
    ("--dora", "technique", "dora", None, "learn magnitudes apart (LoRA, LoRA+)"),
    ("--projected", "technique", "projected", None, "LoRA-FA: best fit of the full gradient"),
    ("--ratio", "technique", "ratio", float, "LoRA+: how many times faster B learns"),
    ("--update-ratio", "technique", "update_ratio", float, "Delta-LoRA: lambda"),
    ("--start-step", "technique", "start_step", int, "Delta-LoRA: steps before weights move"),
    ("--epochs", "schedule", "epochs", float, "times over the data"),
    ("--steps", "schedule", "max_steps", int, "stop after so many steps"),
    ("--batch", "schedule", "batch", int, "rows at once"),
    ("--accumulation", "schedule", "accumulation", int, "batches that make a step"),
    ("--lr", "schedule", "learning_rate", float, "learning rate"),
    ("--warmup", "schedule", "warmup", float, "share of steps in which the rate rises"),
    ("--decay", "schedule", "decay", str, "linear, cosine or constant"),
    ("--weight-decay", "schedule", "weight_decay", float, "weight decay"),
    ("--max-grad-norm", "schedule", "max_grad_norm", float, "longer gradients are cut to it"),
    ("--checkpointing", "schedule", "gradient_checkpointing", None, "less memory, more time"),
    ("--seed", "schedule", "seed", int, "seed of everything random"),
    ("--processes", "schedule", "processes", int, "processes that train together, one a device"),
    ("--threads", "schedule", "threads", int, "threads of the processor"),
    ("--evaluate-every", "watch", "evaluate_every", int, "steps between evaluations"),
    ("--patience", "watch", "patience", int, "stop after so many evaluations without a better one"),
    ("--sample-every", "watch", "sample_every", int, "steps between samples; -1: none"),
    ("--save-every", "save", "every", int, "steps between checkpoints"),
    ("--keep", "save", "keep", int, "checkpoints that are kept"),
)
_SWITCHED = {"template": "none"}  # what a switch sets that is no true or false


def add_arguments(parser: ArgumentParser, techniques: tuple[str, ...]) -> None:
    """Take everything a recipe may say."""
    for flag, _, key, kind, help_ in _OPTIONS:
        dest = _dest(flag)
        if kind is None:
            parser.add_argument(
                flag, dest=dest, action="store_const", const=_SWITCHED.get(key, True),
                default=SUPPRESS, help=help_,
            )  # fmt: skip
        elif key == "name":
            parser.add_argument(
                flag, dest=dest, choices=techniques, default=SUPPRESS,
                help="how the weights change (default: lora)",
            )  # fmt: skip
        else:
            parser.add_argument(flag, dest=dest, type=kind, default=SUPPRESS, help=help_)
    parser.add_argument(
        "--prompt", action="append", default=[], help="ask this for samples (may be given again)"
    )
    parser.add_argument("--name", default="", help="name of the run")


def recipe_of(args: Namespace) -> Recipe:
    """Return the recipe that the arguments name, changed by the rest of them. Raises SternaError."""
    given = vars(args)
    if args.recipe is not None:
        plain = recipes.as_dict(recipes.load(args.recipe))
        plain["name"] = ""
    else:
        if _dest("--base") not in given:
            raise SternaError(
                "bad_argument",
                "Training needs a base, or a run.toml.",
                "Give --base MODEL --data FILE, or the path of a run.toml.",
            )
        if _dest("--data") not in given and not args.estimate:
            raise SternaError("bad_argument", "Training needs data.", "Give it with --data FILE.")
        plain = recipes.as_dict(Recipe(base=Base(model=""), data=Data(path="")))
    _apply(plain, given)
    if args.prompt:
        plain["watch"]["prompts"] = args.prompt
    if args.name:
        plain["name"] = args.name
    return absolute(recipes.from_dict(plain))


def longer(args: Namespace, recipe: Recipe) -> Recipe:
    """Return a run's recipe with another length, if one is asked for."""
    given = vars(args)
    plain = recipes.as_dict(recipe)
    allowed = ("--epochs", "--steps", "--batch", "--accumulation", "--lr", "--checkpointing")
    others = [o[0] for o in _OPTIONS if o[0] not in allowed and _dest(o[0]) in given]
    if others:
        raise SternaError(
            "bad_argument",
            f"{', '.join(others)} cannot change when a run goes on.",
            "Begin a new run with it.",
        )
    if _dest("--epochs") in given and _dest("--steps") not in given:
        plain["schedule"]["max_steps"] = 0
    _apply(plain, given)
    return recipes.from_dict(plain)


def _apply(plain: dict[str, Any], given: dict[str, Any]) -> None:
    for flag, table, key, _, _ in _OPTIONS:
        if _dest(flag) in given:
            plain[table][key] = given[_dest(flag)]


def _dest(flag: str) -> str:
    return "set_" + flag.lstrip("-").replace("-", "_")
