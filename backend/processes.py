"""Names of processes that last: what a process leaves undone is found by its name, once it is gone."""

import os

import psutil


def this_process() -> str:
    """Return a name of this process that a later one with the same number does not have."""
    return _name_of(os.getpid())


def lives(name: str | None) -> bool:
    """Whether the process of that name is still there."""
    pid, _, _ = (name or "").partition(":")
    return pid.isdigit() and _name_of(int(pid)) == name


def _name_of(pid: int) -> str:
    try:
        return f"{pid}:{psutil.Process(pid).create_time():.0f}"
    except psutil.Error:
        return ""
