"""Beginning a run, and going on with one: what the command line and the screen have in common."""

import contextlib
import subprocess
from pathlib import Path

import msgspec

from backend import library
from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.recipe import Recipe
from backend.train.run import child
from backend.train.run import folder as folders
from backend.train.run.folder import RunFolder

Child = subprocess.Popen[bytes]


def begin(recipe: Recipe, *, force: bool = False) -> tuple[RunFolder, Child]:
    """Make the folder of a new run and start its process. Raises SternaError.

    `force`: also where memory seems too short.
    """
    need_extra()
    if not force:
        check_memory(recipe)
    folder = make_folder(recipe)
    return folder, child.start(folder, recipe.schedule.processes)


def make_folder(recipe: Recipe) -> RunFolder:
    """Make the folder of a new run, with its recipe. Raises SternaError."""
    recipe = absolute(recipe)
    name = recipe.name or folders.suggest_name(recipe.base.model, recipe.technique.name)
    folder = folders.create(name)
    try:
        recipes.save(recipe, folder.recipe)
    except OSError as error:
        raise SternaError(
            "read_only", f"{folder.path} cannot be written: {error.strerror}.", "Check the disk."
        ) from error
    return folder


def go_on(folder: RunFolder, recipe: Recipe | None = None) -> Child:
    """Start a run's process again, from its newest checkpoint; `recipe`: with another length."""
    need_extra()
    if folder.is_running():
        raise SternaError(
            "run_is_running", f"The run {folder.name} is running already.", "Watch it instead."
        )
    if recipe is not None:
        recipes.save(recipe, folder.recipe)
    return child.start(folder, recipes.load(folder.recipe).schedule.processes)


def with_steps(recipe: Recipe, steps: int) -> Recipe:
    """Return a recipe that ends after `steps` steps in all. Raises SternaError `bad_recipe`."""
    schedule = msgspec.structs.replace(recipe.schedule, max_steps=steps)
    longer = msgspec.structs.replace(recipe, schedule=schedule)
    recipes.check(longer)
    return longer


def need_extra() -> None:
    """Raise SternaError `missing_extra` where the packages that training needs are not installed."""
    from backend import extras

    missing = extras.missing("train")
    if missing:
        raise SternaError(
            "missing_extra",
            f"Training needs packages that are not installed: {', '.join(missing)}.",
            "Install them: pip install 'sterna[train]', or press 4 in the app.",
        )


def check_memory(recipe: Recipe) -> None:
    """Refuse what cannot fit, before anything is loaded. Raises SternaError."""
    from backend.train.estimate import assumed, estimate
    from backend.train.source import find, shape_of
    from backend.units import human_bytes

    if recipe.base.device not in ("auto", "cpu"):
        return
    made = estimate(recipe, shape_of(find(recipe.base.model, "shape")), assumed(recipe))
    # rows are seldom as long as they may be, so only what cannot fit at all is refused
    if made.peak_memory - made.activations - made.loss > made.available:
        raise SternaError(
            "out_of_memory",
            f"Training this needs {human_bytes(made.peak_memory)} of memory and "
            f"{human_bytes(made.available)} is free.",
            "Take a smaller base or an adapter in place of sft, or close programs; "
            "`sterna train --force` begins all the same.",
        )


def absolute(recipe: Recipe) -> Recipe:
    """Let paths mean the same wherever the run's process stands; a name of the library becomes one."""
    plain = recipes.as_dict(recipe)
    with contextlib.suppress(SternaError):  # what it is not is told when it is looked for
        plain["base"]["model"] = str(library.resolve(plain["base"]["model"]))
    for table, key in (("base", "model"), ("data", "path"), ("data", "validation_path")):
        text = plain[table][key]
        path = Path(text).expanduser() if text else None
        if path is not None and path.exists():
            plain[table][key] = str(path.resolve())
    return recipes.from_dict(plain)
