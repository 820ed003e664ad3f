"""Real runs of training in real processes, started quickly: a server that has the libraries forks them."""

import json
import multiprocessing
import os
import random
import signal
from pathlib import Path

from backend.train import recipe as recipes
from backend.train.recipe import Base, Data, Recipe, Save, Schedule, Technique, Watch
from backend.train.run.events import read_all
from backend.train.run.folder import RunFolder

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["backend.train.session", "backend.train.__main__"])
COLOURS = ("red", "green", "blue")


def write_rows(path: Path, count: int = 24, shuffled: bool = False) -> Path:
    """Write questions with answers that follow a rule."""
    answers = [COLOURS[i % 3] for i in range(count)]
    if shuffled:
        random.Random(1).shuffle(answers)
    rows = [{"prompt": f"item {i % 3}", "completion": a} for i, a in enumerate(answers)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def make_run(
    folder: Path, base: Path, rows: Path, *, technique=None, schedule=None, device="cpu", **more
) -> RunFolder:
    """Write a recipe for a tiny run into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = Recipe(
        base=Base(model=str(base), device=device),
        data=Data(path=str(rows), **{"validation": 0.0, "max_length": 64, **more.pop("data", {})}),
        technique=Technique(**{"name": "lora", "rank": 4, **(technique or {})}),
        schedule=Schedule(
            **{"max_steps": 12, "batch": 2, "learning_rate": 1e-2, "threads": 1, **(schedule or {})}
        ),
        watch=Watch(**{"sample_every": -1, **more.pop("watch", {})}),
        save=Save(**{"every": 3, **more.pop("save", {})}),
        **more,
    )
    recipes.check(recipe)
    run = RunFolder(folder)
    recipes.save(recipe, run.recipe)
    return run


def _child(path: str, environment: dict[str, str], limit: int | None, memory: int | None) -> None:
    os.environ.update(environment)
    log = os.open(Path(path).parent / "output.log", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.setsid()
    if memory is not None:
        import resource

        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + memory
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
    if limit is not None:
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    from backend.train.__main__ import main

    os._exit(main([path]))


def start(run: RunFolder, limit: int | None = None, memory: int | None = None, **environment: str):
    """Start a process that trains; `limit`: bytes that a file may have, as on a full disk; `memory`:
    bytes that it may take beyond those of the libraries."""
    process = _CONTEXT.Process(target=_child, args=(str(run.recipe), environment, limit, memory))
    process.start()
    return process


def train(run: RunFolder, expect: int = 0, **options):
    """Train to the end and return the events."""
    process = start(run, **options)
    process.join(120)
    log = run.log.read_text()[-3000:] if run.log.exists() else ""
    assert process.exitcode == expect, f"{process.exitcode}: {read_all(run.events)[-3:]} {log}"
    return read_all(run.events)


def of(events, kind: str):
    """Return the events of a kind."""
    return [e for e in events if e["event"] == kind]


def weights(run: RunFolder):
    """Return what was learned, as tensors by name."""
    from safetensors.torch import load_file

    (path,) = run.adapter.glob("*.safetensors")
    return load_file(path)
