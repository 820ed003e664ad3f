"""`sterna ls`: models on disk."""

from argparse import ArgumentParser, Namespace

from backend.library import LibraryModel, survey
from backend.units import human_bytes, human_count
from tui.commands import output


def add_arguments(parser: ArgumentParser) -> None:
    """Take a filter."""
    parser.add_argument(
        "text", nargs="?", default="", help="only models whose name, quant or store holds this"
    )
    parser.add_argument("--favourites", action="store_true", help="only favourites")


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
        "kind": model.kind,
        "also_in": list(model.also_in),
        "copies": [
            {
                "store": copy.store,
                "name": copy.name,
                "path": str(copy.path),
                "connected": copy.connected,
                "parts": [
                    {"path": file.path, "bytes": file.size, "sha256": file.sha256}
                    for file in copy.files
                ],
            }
            for copy in model.copies
        ],
        "connected": model.connected,
        "favourite": model.favourite,
        "alias": model.alias or None,
        "note": model.note or None,
        "error": model.error,
    }


def _row(m: LibraryModel) -> list[str]:
    star = "★" if m.favourite else " "
    name = f"{m.alias} ({m.name})" if m.alias else m.name
    size = human_bytes(m.bytes)
    known = not m.error or not m.connected
    context = "–" if m.context is None else str(m.context)
    return [
        f"{star} {name}",
        (m.arch or "–") if known else "–",
        human_count(m.params) if known else "–",
        m.quant if known else "unusable",
        size,
        context if known else "–",
        output.ago(m.last_used),
        m.store if m.connected else f"{m.store}, not connected",
    ]


def run(args: Namespace) -> int:
    """List."""
    listing = survey()
    wanted = args.text.casefold().split()
    models = [
        model
        for model in listing.models
        if (model.favourite or not args.favourites)
        and all(word in _haystack(model) for word in wanted)
    ]
    for notice in listing.notices:
        output.note(f"sterna: {notice}")
    heading = ["  NAME", "ARCH", "PARAMS", "QUANT", "SIZE", "CONTEXT", "USED", "STORE"]
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


def _haystack(model: LibraryModel) -> str:
    parts = (*model.names, model.quant, model.store, model.arch, model.note)
    return " ".join(parts).casefold()
