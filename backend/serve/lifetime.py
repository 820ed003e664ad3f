"""Ties a child engine to its parent, and keeps its output off the terminal."""

import ctypes
import faulthandler
import os
import select
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

_PR_SET_PDEATHSIG = 1
_OOM_SCORE = "500"


def redirect_output(log_file: Path) -> None:
    """Send what Python and native code print to `log_file`, for good."""
    with suppress(OSError):
        log_file.parent.mkdir(parents=True, exist_ok=True)
    try:
        log = os.open(log_file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    except OSError:
        log = os.open(os.devnull, os.O_WRONLY)
    nothing = os.open(os.devnull, os.O_RDONLY)
    sys.stdout.flush()
    sys.stderr.flush()
    os.dup2(nothing, 0)
    os.dup2(log, 1)
    os.dup2(log, 2)
    os.close(log)
    os.close(nothing)
    faulthandler.enable()


def end_with_parent(descriptor: int, before: Callable[[], None]) -> None:
    """End this process when the reader of the pipe `descriptor` is gone; call `before` first.

    The kernel's own signal comes first where there is one. It is bound to the parent's thread, and lost
    when the parent died before it was asked for; the pipe knows in every case.
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)

    def watch() -> None:
        poll = select.poll()
        poll.register(descriptor, 0)  # POLLERR needs no asking for
        while not poll.poll():
            pass
        with suppress(Exception):
            before()
        os._exit(0)

    threading.Thread(target=watch, name="sterna-parent", daemon=True).start()


def die_first() -> None:
    """Ask the system to take this process, not the terminal, when memory runs out."""
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(_OOM_SCORE, encoding="ascii")
