"""`sterna ls`: models on disk."""

import time
from argparse import ArgumentParser, Namespace

from backend.library import LibraryModel, scan
from backend.units import human_bytes, human_count
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take a filter."""
    parser.add_argument(
        "text", nargs="?", default="", help="only models whose name, quant or store holds this"
    )


def _ago(when: float | None) -> str:
    if when is None:
        return "–"
    seconds = max(0, int(time.time() - when))
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return "now"


def _data(model: LibraryModel) -> dict[str, object]:
    return {
        "name": model.name,
        "path": str(model.path),
        "store": model.store,
        "arch": model.arch,
        "params": model.params,
        "quant": model.quant,
        "bytes": model.bytes,
        "context": model.context,
        "last_used": model.last_used,
        "sha256": model.sha256,
        "also_in": list(model.also_in),
        "error": model.error,
    }


def _row(m: LibraryModel) -> list[str]:
    size = human_bytes(m.bytes)
    if m.error:
        return [m.name, "–", "–", "unusable", size, "–", "–", m.store]
    context = "–" if m.context is None else str(m.context)
    return [
        m.name,
        m.arch,
        human_count(m.params),
        m.quant,
        size,
        context,
        _ago(m.last_used),
        m.store,
    ]


def run(args: Namespace) -> int:
    """List."""
    wanted = args.text.casefold()
    models = [m for m in scan() if wanted in f"{m.name} {m.quant} {m.store} {m.arch}".casefold()]
    heading = ["NAME", "ARCH", "PARAMS", "QUANT", "SIZE", "CONTEXT", "USED", "STORE"]
    total = f"{len(models)} models · {human_bytes(sum(m.bytes for m in models))}"
    if models:
        text = (
            output.table([heading, *map(_row, models)], right=frozenset((2, 4, 5, 6)))
            + f"\n{total}"
        )
    else:
        text = f"{total}\nPut .gguf files into Sterna's model folder, or name a folder in the settings."
    output.emit(args, {"models": [_data(m) for m in models]}, text)
    return 0
