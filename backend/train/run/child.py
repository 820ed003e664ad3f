"""Starting the process that trains, and following it. It outlives whoever started it."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from backend.errors import SternaError
from backend.train.run.control import Wish, ask, forget
from backend.train.run.events import Event, EventTail
from backend.train.run.folder import RunFolder

_LOOK = 0.1  # seconds between looks at the events
_ENDS = ("done", "stopped", "error")
# How often libgomp's threads look for work before they sleep. Its own 300,000 make a step 14 times as long
# when one other program keeps a core busy, a chat for one; a tenth of it costs nothing on a calm machine.
_SPINS = "30000"
# glibc asks for huge pages: products find what they read in a seventh less time than with small ones.
_HUGE_PAGES = "glibc.malloc.hugetlb=1"


def start(folder: RunFolder, processes: int = 1) -> subprocess.Popen[bytes]:
    """Start training in a process of its own session; `processes` together by accelerate.

    Raises SternaError `run_is_running`, `train_failed`.
    """
    if folder.is_running():
        raise SternaError(
            "run_is_running", f"The run {folder.name} is running already.", "Watch it instead."
        )
    forget(folder.control)
    try:
        with folder.log.open("ab") as log:
            return subprocess.Popen(
                _command(folder, processes),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # neither ctrl+c nor a closed terminal is its end
                cwd=folder.path,
                env=environment(),
            )
    except OSError as error:
        raise SternaError(
            "train_failed", f"Training could not be started: {error.strerror}.", "Try again."
        ) from error


def _command(folder: RunFolder, processes: int) -> list[str]:
    if processes == 1:
        # -P: a folder named `backend` where the user happens to stand is not ours.
        return [sys.executable, "-P", "-m", "backend.train", str(folder.recipe)]
    # Its switch for several of anything; a recipe for the processor turns it into gloo.
    launcher = [sys.executable, "-P", "-m", "accelerate.commands.launch", "--multi_gpu"]
    count = ["--num_processes", str(processes), "--num_machines", "1"]
    return [*launcher, *count, "-m", "backend.train", str(folder.recipe)]


def environment() -> dict[str, str]:
    """Return an environment in which our packages are found wherever the process stands."""
    root = str(Path(__file__).resolve().parents[3])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "GOMP_SPINCOUNT": _SPINS,
        "GLIBC_TUNABLES": _HUGE_PAGES,
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "PYTHONUNBUFFERED": "1",
    }


def follow(
    folder: RunFolder, running: Callable[[], bool], offset: int = 0
) -> Iterator[Event | None]:
    """Yield events as they come, None when nothing came for a moment; end with the run.

    A process that dies without a word gets an `error` event of our own as the last.
    """
    tail = EventTail(folder.events, offset)
    while True:
        alive = running()
        ended = False
        for event in tail.read():
            ended = ended or event["event"] in _ENDS
            yield event
        if ended:
            return
        if not alive:
            yield {"event": "error", "time": time.time(), **died(folder).as_dict()}
            return
        yield None
        time.sleep(_LOOK)


def died(folder: RunFolder) -> SternaError:
    """Return what to tell of a process that is gone without a word."""
    return SternaError(
        "train_died",
        f"The process that trained {folder.name} is gone: it was killed, most likely because memory "
        "ran out.",
        "Resume the run, with a smaller batch or gradient checkpointing if memory is short: its last "
        f"checkpoint is whole. {folder.log} has its output.",
    )


def stop(folder: RunFolder) -> None:
    """Ask a run to save and stop. Raises SternaError `not_running`."""
    if not folder.is_running():
        raise SternaError("not_running", f"The run {folder.name} does not run.", "")
    ask(folder, Wish.STOP)


def kill(folder: RunFolder) -> None:
    """End a run's process at once; its last checkpoint stays."""
    pid = folder.pid()
    if pid is not None:
        try:
            os.killpg(pid, signal.SIGKILL)
        except ProcessLookupError:
            return
        except PermissionError:
            os.kill(pid, signal.SIGKILL)
