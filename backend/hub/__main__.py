"""The downloads of the app, in a process of their own: `python -m backend.hub`.

It works through the queue and ends when nothing has waited for a while, when its standard input is
closed (the app has gone, however it went), or when it is asked to.
"""

import contextlib
import os
import signal
import sys
import threading

from backend import log, paths, settings
from backend.database import Database
from backend.errors import SternaError
from backend.hub.means import from_settings
from backend.hub.pace import Throttle
from backend.hub.queue import Queue
from backend.hub.worker import Worker

_LINGER_S = 10.0
_LOOK_S = 0.5  # between two looks at the settings


def _end_with_parent(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


def _follow_limit(throttle: Throttle, stop: threading.Event) -> None:
    """Let a limit that is changed in the settings hold at once."""
    seen = _modified()
    while not stop.wait(_LOOK_S):
        now = _modified()
        if now == seen:
            continue
        seen = now
        with contextlib.suppress(SternaError):  # half written, or wrong: the old limit holds
            throttle.rate = settings.load().downloads.megabytes_per_second * 1e6


def _modified() -> int:
    try:
        return paths.settings_file().stat().st_mtime_ns
    except OSError:
        return 0


def main() -> int:
    """Work; return the exit status."""
    log.to_file("downloads")
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda _number, _frame: stop.set())
    threading.Thread(target=_end_with_parent, args=(stop,), daemon=True).start()
    try:
        wish = settings.load().downloads
    except SternaError:
        wish = settings.Downloads()
    queue, means = Queue(Database.open()), from_settings(wish)
    threading.Thread(target=_follow_limit, args=(means.throttle, stop), daemon=True).start()
    Worker(queue, means, at_once=wish.at_once).run(stop, linger=_LINGER_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
