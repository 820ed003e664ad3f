"""Rows out of files, each with the number that a person would look for.

Numbers count from 1: lines of .jsonl, records of .csv (the heading is not counted) and .parquet, items of
a .json list, and in .txt the line on which a paragraph begins (paragraphs are divided by empty lines).
"""

import csv
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backend.errors import SternaError

SUFFIXES = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet", ".txt", ".md")
_MAX_LINE = 64 << 20  # bytes of one row
_MAX_JSON = 4 << 30  # bytes of a .json file, which is read as a whole
_LISTS = (
    "data",
    "rows",
    "train",
    "examples",
    "conversations",
)  # where a .json object keeps its rows


@dataclass(frozen=True, slots=True)
class Row:
    """One row of a file. With `fault` it could not be read, and `values` is empty."""

    file: str
    number: int
    values: dict[str, Any]
    fault: str = ""

    @property
    def where(self) -> str:
        """The place in words."""
        return f"row {self.number} of {self.file}"


def files_of(path: Path) -> list[Path]:
    """Return the data files that a path means, in order. Raises SternaError `no_data`."""
    if path.is_dir():
        found = sorted(p for p in path.rglob("*") if p.suffix.lower() in SUFFIXES and p.is_file())
        if not found:
            raise SternaError(
                "no_data",
                f"There is no data file in {path}.",
                f"Sterna reads {', '.join(SUFFIXES)}.",
            )
        return found
    if not path.exists():
        raise SternaError("no_data", f"There is no file {path}.", "Check the path.")
    if path.suffix.lower() not in SUFFIXES:
        raise SternaError(
            "no_data",
            f"Sterna does not read {path.suffix or 'a file without an ending'} as data.",
            f"It reads {', '.join(SUFFIXES)}.",
        )
    return [path]


def read_rows(path: Path) -> Iterator[Row]:
    """Yield the rows of a file. Raises SternaError `no_data` where it cannot be read at all."""
    suffix = path.suffix.lower()
    reader = {
        ".jsonl": _json_lines,
        ".ndjson": _json_lines,
        ".json": _json_list,
        ".csv": _comma_separated,
        ".tsv": _comma_separated,
        ".parquet": _parquet,
    }.get(suffix, _paragraphs)
    try:
        yield from reader(path)
    except OSError as error:
        raise SternaError(
            "no_data", f"{path} cannot be read: {error.strerror or error}.", "Check the file."
        ) from error


def _json_lines(path: Path) -> Iterator[Row]:
    with path.open("rb") as file:
        number = 0
        while line := file.readline(_MAX_LINE + 1):
            number += 1
            if len(line) > _MAX_LINE:
                yield Row(path.name, number, {}, f"it is longer than {_MAX_LINE >> 20} MiB")
                return  # what follows is not at the start of a line
            if not line.strip():
                continue
            yield _row(path, number, *_parsed(line))


def _parsed(data: bytes) -> tuple[Any, str]:
    try:
        return json.loads(data.decode("utf-8-sig")), ""
    except UnicodeDecodeError as error:
        return None, f"it is no UTF-8 text (byte {error.start})"
    except json.JSONDecodeError as error:
        return None, f"it is no JSON: {error.msg} at character {error.pos + 1}"
    except RecursionError:
        return None, "it is nested too deeply"


def _row(path: Path, number: int, value: Any, fault: str = "") -> Row:
    if not fault and isinstance(value, list):
        value = {"messages": value}  # a bare conversation
    if not fault and isinstance(value, str):
        value = {"text": value}
    if not fault and not isinstance(value, dict):
        fault = f"it is {type(value).__name__}, not an object with names"
    return Row(path.name, number, {} if fault else value, fault)


def _json_list(path: Path) -> Iterator[Row]:
    if path.stat().st_size > _MAX_JSON:
        raise SternaError("no_data", f"{path.name} is too large.", "Save it as .jsonl.")
    data, fault = _parsed(path.read_bytes())
    if isinstance(data, dict):
        data = next((data[k] for k in _LISTS if isinstance(data.get(k), list)), [data])
    if fault or not isinstance(data, list):
        raise SternaError(
            "no_data",
            f"{path.name}: {fault or 'it is no list of rows'}.",
            "Save a list of objects, or one object a line as .jsonl.",
        )
    for number, value in enumerate(data, 1):
        yield _row(path, number, value)


def _comma_separated(path: Path) -> Iterator[Row]:
    csv.field_size_limit(_MAX_LINE)
    with path.open(encoding="utf-8-sig", errors="strict", newline="") as file:
        reader = csv.DictReader(
            file, delimiter="\t" if path.suffix.lower() == ".tsv" else ",", strict=True
        )
        number = 0
        try:
            for number, values in enumerate(reader, 1):
                if None in values or None in values.values():
                    yield Row(path.name, number, {}, "it has not as many cells as the heading")
                else:
                    yield Row(path.name, number, dict(values))
        except csv.Error as error:
            yield Row(path.name, number + 1, {}, f"it is no CSV: {error}")
        except UnicodeDecodeError:
            yield Row(path.name, number + 1, {}, "it is no UTF-8 text")


def _parquet(path: Path) -> Iterator[Row]:
    from pyarrow import ArrowException, parquet

    number = 0
    try:
        with parquet.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=1024):
                for values in batch.to_pylist():
                    number += 1
                    yield Row(path.name, number, values)
    except (ArrowException, ValueError) as error:
        raise SternaError(
            "no_data",
            f"{path.name} is no sound Parquet file: {str(error).rstrip('.')}.",
            "Save it again.",
        ) from error


def _paragraphs(path: Path) -> Iterator[Row]:
    start, lines = 1, list[str]()
    with path.open(encoding="utf-8-sig", errors="replace") as file:
        for number, line in enumerate(file, 1):
            if line.strip():
                start = start if lines else number
                lines.append(line)
            elif lines:
                yield Row(path.name, start, {"text": "".join(lines).strip()})
                lines = []
    if lines:
        yield Row(path.name, start, {"text": "".join(lines).strip()})
