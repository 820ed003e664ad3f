"""Logging without anybody's words: messages of exceptions may quote a prompt, so they are left out."""

import logging
import traceback


def log_failure(log: logging.Logger, what: str, error: BaseException) -> None:
    """Log the kind of an error and the places it passed, nothing of what it says."""
    places = traceback.extract_tb(error.__traceback__)
    trail = " > ".join(f"{place.filename}:{place.lineno} {place.name}" for place in places[-12:])
    log.error("%s: %s at %s", what, type(error).__name__, trail)
