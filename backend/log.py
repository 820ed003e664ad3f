"""Logging to a file, never to the screen: a terminal app owns its terminal."""

import logging
import logging.handlers
import os

from backend import paths


def to_file(name: str) -> None:
    """Send every log record of this process to `<log_dir>/<name>.log`, 2 MB, three kept.

    A log that cannot be written is no reason to stop: it is then dropped.
    """
    root = logging.getLogger()
    root.handlers.clear()
    handler: logging.Handler
    try:
        folder = paths.log_dir()
        folder.mkdir(parents=True, exist_ok=True)
        handler = logging.handlers.RotatingFileHandler(
            folder / f"{name}.log", maxBytes=2_000_000, backupCount=3, encoding="utf-8"
        )
    except OSError:
        handler = logging.NullHandler()
    handler.setFormatter(
        logging.Formatter("%(asctime)s %(process)d %(levelname)s %(name)s %(message)s")
    )
    root.addHandler(handler)
    root.setLevel(os.environ.get("STERNA_LOG", "INFO").upper())
    logging.raiseExceptions = False
