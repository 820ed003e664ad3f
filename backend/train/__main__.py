"""The child process: `python -m backend.train run.toml` trains, in the folder where that file is.

It goes on from the newest checkpoint that verifies, if there is one. What libraries print goes to
`output.log`; what happens goes to `events.jsonl`. SIGTERM and SIGINT save a checkpoint and stop. Under
`accelerate launch -m backend.train run.toml` several processes train together.
"""

import contextlib
import errno
import os
import signal
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path

# Before any library reads them: nothing is compiled, counted or fetched behind a person's back.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
os.environ.setdefault("HF_DATASETS_DISABLE_PROGRESS_BARS", "1")
os.environ.setdefault("TRANSFORMERS_VERBOSITY", "warning")

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.begin import need_extra
from backend.train.run.control import Wish, asked, forget
from backend.train.run.events import EventLog
from backend.train.run.folder import RunFolder

STOPPED = 3  # the exit status of a run that was stopped and can be resumed
_OOM_SCORE = "500"


def main(arguments: list[str]) -> int:
    """Train, and return the exit status: 0 done, 3 stopped, 1 failed."""
    path = Path(arguments[0]).resolve() if len(arguments) == 1 else Path()
    if path.name != "run.toml":
        sys.stderr.write("usage: python -m backend.train FOLDER/run.toml\n")
        return 2
    folder = RunFolder(path.parent)
    first = int(os.environ.get("RANK", "0")) == 0
    _die_first()
    stop = _Stop()
    try:
        with folder.held() if first else contextlib.nullcontext():
            return _run(folder, EventLog(folder.events if first else Path(os.devnull)), stop, first)
    except SternaError as error:  # another process has the folder, and its events are not ours
        sys.stderr.write(f"{error.message}\n")
        return 1


def _run(folder: RunFolder, log: EventLog, stop: "_Stop", first: bool) -> int:
    try:
        if first:
            forget(folder.control)
        log.add("phase", name="starting", text="starting", pid=os.getpid())
        recipe = recipes.load(folder.recipe)
        with _failures_explained():
            finished = _session(folder, recipe, log, stop)
    except SternaError as error:
        log.add("error", **error.as_dict())
        sys.stderr.write(f"{error.kind}: {error.message}\n")
        return 1
    if not finished:
        log.add("stopped", message="Stopped and saved; it can be resumed.")
    return 0 if finished else STOPPED


def _session(folder: RunFolder, recipe: recipes.Recipe, log: EventLog, stop: "_Stop") -> bool:
    need_extra()
    log.add("phase", name="libraries", text="loading PyTorch")
    from backend.train.session import Session

    return Session(folder, recipe, log, lambda: Wish.STOP if stop.asked else asked(folder)).run()


class _Stop:
    """Set by a signal."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._note)

    def _note(self, *_: object) -> None:
        self.asked = True


@contextlib.contextmanager
def _failures_explained() -> Iterator[None]:
    """Turn what can go wrong below us into a fact and a way out."""
    try:
        yield
    except SternaError:
        raise
    except MemoryError as error:
        raise _out_of_memory() from error
    except ImportError as error:
        raise SternaError(
            "missing_extra",
            f"A package that training needs cannot be used: {error}.",
            "Install it: pip install 'sterna[train]'.",
        ) from error
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        raise SternaError(
            "disk_full" if full else "unreadable",
            "The disk is full." if full else f"A file cannot be used: {error}.",
            "Make room and resume the run: its last checkpoint is whole.",
        ) from error
    except Exception as error:
        traceback.print_exc()  # to the run's output.log
        if type(error).__name__ == "OutOfMemoryError" or "allocate memory" in str(error):
            raise _out_of_memory() from error
        raise SternaError(
            "internal",
            f"Training failed: {type(error).__name__}: {error}",
            "The run's output.log has the details.",
        ) from error


def _out_of_memory() -> SternaError:
    return SternaError(
        "out_of_memory",
        "Memory ran out while training.",
        "Resume with a smaller batch (the steps stay the same with more accumulation), shorter rows, "
        "or gradient checkpointing.",
    )


def _die_first() -> None:
    """Ask the system to take this process, not the terminal, when memory runs out."""
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
