"""The downloads of the app, in a process of their own: `python -m backend.hub`.

It works through the queue and ends when nothing has waited for a while, when its standard input is
closed (the app has gone, however it went), or when it is asked to.
"""

import os
import signal
import sys
import threading

from backend import log, settings
from backend.database import Database
from backend.errors import SternaError
from backend.hub.means import from_settings
from backend.hub.queue import Queue
from backend.hub.worker import Worker

_LINGER_S = 10.0


def _end_with_parent(stop: threading.Event) -> None:
    while os.read(0, 4096):
        pass
    stop.set()


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
    queue = Queue(Database.open())
    Worker(queue, from_settings(wish), at_once=wish.at_once).run(stop, linger=_LINGER_S)
    return 0


if __name__ == "__main__":
    sys.exit(main())
