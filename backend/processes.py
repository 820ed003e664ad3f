"""Names of processes that last: what a process leaves undone is found by its name, once it is gone."""

import os

import psutil

_SOON = 2.0  # seconds: the clock of the system may be set, but no two get one number so soon


def this_process() -> str:
    """Return a name of this process that a later one with the same number does not have."""
    return _name_of(os.getpid())


def lives(name: str | None) -> bool:
    """Whether the process of that name is still there."""
    pid, _, born = (name or "").partition(":")
    try:
        process = psutil.Process(int(pid))
        same = abs(process.create_time() - float(born)) <= _SOON
        return same and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, ValueError, OverflowError):
        return False


def _name_of(pid: int) -> str:
    try:
        return f"{pid}:{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return ""
