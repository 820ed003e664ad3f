"""A look at data before the start: `python -m backend.train.look` reads a recipe as JSON on standard
input and prints what the data is, as one line of JSON. A process of its own, for files may be large and
templates are programs; no PyTorch is loaded.
"""

import argparse
import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from backend.errors import SternaError
from backend.train import recipe as recipes
from backend.train.data import hub
from backend.train.data.encoder import encoder_for
from backend.train.data.prepare import prepare
from backend.train.data.preview import preview
from backend.train.data.reading import files_of, read_rows
from backend.train.recipe import Recipe
from backend.train.source import find


def look(recipe: Recipe, rows: int, limit: int | None) -> dict[str, Any]:
    """Return the preview of a recipe's data. Raises SternaError."""
    source = find(recipe.base.model, "words")
    encoder = encoder_for(source.kind, source.path, recipe.data.template)
    try:
        with tempfile.TemporaryDirectory() as folder:
            path = _path(recipe.data.path, recipe, Path(folder))
            own = recipe.data.validation_path
            paths = path, _path(own, recipe, Path(folder)) if own else None
            made = prepare(recipe.data, paths, encoder, recipe.schedule.seed, limit=limit)
            seen = preview(made, encoder, rows)
            total = seen["rows"]
            if limit is not None and total >= limit:
                total = sum(1 for file in files_of(paths[0]) for _ in read_rows(file))
            return {**seen, "samples_made": made.report.samples, "rows_total": total}
    finally:
        encoder.close()


def _path(text: str, recipe: Recipe, folder: Path) -> Path:
    if text.startswith(hub.PREFIX):
        return hub.bring(text, recipe.data.split, folder).path
    return Path(text).expanduser()


def main() -> int:
    """Read, look, print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--rows", type=int, default=3)
    parser.add_argument("--limit", type=int)
    args = parser.parse_args()
    try:
        recipe = recipes.from_dict(json.loads(sys.stdin.read()))
        answer = look(recipe, args.rows, args.limit)
    except SternaError as error:
        answer = {"error": error.as_dict()}
    sys.stdout.write(json.dumps(answer) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
