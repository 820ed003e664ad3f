"""`sterna doctor`: what a bug report needs. No names, no paths below the home folder."""

import platform
import sys
from argparse import ArgumentParser, Namespace
from collections import Counter
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from backend import paths
from backend.errors import SternaError
from backend.extras import missing
from backend.library import scan
from backend.machine import kernel_sets, read_machine
from tui.commands import output

_PACKAGES = ("sterna", "textual", "numpy", "tokenizers", "huggingface-hub", "gguf", "torch", "peft")


def add_arguments(parser: ArgumentParser) -> None:
    """Take nothing."""


def _home_hidden(path: Path) -> str:
    text, home = str(path), str(Path.home())
    return "~" + text[len(home) :] if text.startswith(home) else text


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def run(args: Namespace) -> int:
    """Gather and print."""
    machine = read_machine()
    kernels, available = kernel_sets()
    try:
        models = scan()
        stores: dict[str, int] = dict(Counter(m.store for m in models))
        broken = sum(m.error is not None for m in models)
        settings = "good"
    except SternaError as error:
        stores, broken, settings = {}, 0, error.kind
    data = {
        "python": sys.version.split()[0],
        "system": f"{platform.system()} {platform.release()} {platform.machine()}",
        "packages": {name: _installed(name) for name in _PACKAGES},
        "missing": {"train": missing("train")},
        "kernels": {"in_use": kernels, "available": available},
        "cpu": {"name": machine.cpu.name, "cores": machine.cpu.cores, "usable": machine.cpu.usable},
        "ram": {
            "total": machine.memory.total,
            "available": machine.memory.available,
            "probe": machine.memory.probe,
        },
        "gpus": [g.name for g in machine.gpus],
        "bandwidth": machine.bandwidth,
        "settings": {"file": _home_hidden(paths.settings_file()), "state": settings},
        "data": _home_hidden(paths.data_dir()),
        "log": _home_hidden(paths.log_dir()),
        "models": {"by_store": stores, "unusable": broken},
    }
    rows = [[key, value if isinstance(value, str) else str(value)] for key, value in data.items()]
    output.emit(args, data, output.table(rows))
    return 0
