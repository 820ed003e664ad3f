"""A whole data set: read, judged, encoded, divided; and the report that a person sees before the start."""

import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path

from backend.errors import SternaError
from backend.train.data.encoder import Encoder
from backend.train.data.formats import LOOKED_AT, TITLES, RefusedError, example, recognise
from backend.train.data.masking import Sample, samples
from backend.train.data.reading import Row, files_of, read_rows
from backend.train.recipe import Data

_TOLD = 5  # refused rows that an error names
_KEPT = 1000  # refused rows that a report keeps


@dataclass(frozen=True, slots=True)
class Refusal:
    """A row that cannot be used, and why."""

    where: str
    reason: str


@dataclass
class Report:
    """What the data is. Counts of rows, samples and tokens; `longest` before anything is cut."""

    format: str = ""
    rows: int = 0
    samples: int = 0
    tokens: int = 0
    supervised: int = 0
    longest: int = 0
    truncated: int = 0
    unended: int = 0  # samples that never learn to end
    unended_at: str = ""  # the first of them, in words
    unlearned_turns: int = 0
    refused: int = 0
    refusals: list[Refusal] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The format in words."""
        return TITLES.get(self.format, self.format)


@dataclass
class Prepared:
    """Samples to learn from and samples held back."""

    train: list[Sample]
    validation: list[Sample]
    report: Report


def prepare(
    data: Data,
    paths: tuple[Path, Path | None],
    encoder: Encoder,
    seed: int,
    *,
    limit: int | None = None,
    tell: Callable[[int], None] | None = None,
) -> Prepared:
    """Read the files of a recipe's data, `paths`: to learn from, and for evaluation if it has its own.

    `limit`: rows that are looked at, for a preview. `tell` is called with the rows read so far. Raises
    SternaError: no_data, unknown_format, bad_rows, nothing_to_learn, end_never_learned.
    """
    report = Report()
    train = list(_samples(data, paths[0], encoder, report, limit, tell))
    _judge(data, encoder, report)
    if paths[1] is not None:
        held_back = list(_samples(data, paths[1], encoder, report, limit, tell))
        _judge(data, encoder, report)
        return Prepared(train, held_back, report)
    return Prepared(*_divided(train, data.validation, seed), report)


def _samples(
    data: Data,
    path: Path,
    encoder: Encoder,
    report: Report,
    limit: int | None,
    tell: Callable[[int], None] | None,
) -> Iterator[Sample]:
    for file in files_of(path):
        rows, form = _recognised(read_rows(file), data)
        report.format = report.format or form
        for row in rows:
            if limit is not None and report.rows >= limit:
                return
            report.rows += 1
            if tell is not None and report.rows % 100 == 0:
                tell(report.rows)
            try:
                read = example(row, form, data, chats=encoder.chats)
                made = samples(
                    read,
                    encoder,
                    max_length=data.max_length,
                    learn_all=data.train_on == "all",
                )
            except RefusedError as refused:
                _refuse(report, row, str(refused))
            except SternaError as error:
                if error.kind != "template_failed":
                    raise
                _refuse(report, row, error.message)
            else:
                for sample in made:
                    _count(report, sample)
                yield from made
    report.notes = encoder.notes


def _recognised(rows: Iterator[Row], data: Data) -> tuple[Iterable[Row], str]:
    first = []
    for row in rows:
        first.append(row)
        if len(first) >= LOOKED_AT:
            break
    if not first:
        return (), data.format
    if all(row.fault for row in first):
        return chain(first, rows), "text"  # each is refused for its own fault
    return chain(first, rows), recognise(first, data)


def _refuse(report: Report, row: Row, reason: str) -> None:
    report.refused += 1
    if len(report.refusals) < _KEPT:
        report.refusals.append(Refusal(row.where, reason))


def _count(report: Report, sample: Sample) -> None:
    report.samples += 1
    report.tokens += len(sample.ids)
    report.supervised += sample.supervised
    report.longest = max(report.longest, len(sample.ids) + sample.cut)
    report.truncated += sample.cut > 0
    if not sample.ends:
        report.unended += 1
        report.unended_at = report.unended_at or sample.row.where
    report.unlearned_turns += sample.unlearned_turns


def _judge(data: Data, encoder: Encoder, report: Report) -> None:
    """Refuse data that would teach nothing, or teach never to stop."""
    if report.refused and (not data.skip_refused or not report.samples):
        told = "; ".join(f"{r.where}: {r.reason}" for r in report.refusals[:_TOLD])
        more = report.refused - min(report.refused, _TOLD)
        rest = f"; and {more} more" if more else ""
        raise SternaError(
            "bad_rows",
            f"{report.refused} of {report.rows} rows cannot be used: {told}{rest}.",
            "Mend these rows, or leave them out with --skip-refused.",
        )
    if not report.samples:
        raise SternaError("nothing_to_learn", "The data has no rows.", "Check the file.")
    if encoder.words.eos_id is None and not encoder.words.eot_ids:
        raise SternaError(
            "end_never_learned",
            "This model's vocabulary has no token that ends a text.",
            "Take a base whose tokenizer names its end-of-text token.",
        )
    if report.unended == report.samples and report.format != "text":
        raise SternaError(
            "end_never_learned",
            f"No row's end-of-turn token is learned, from {report.unended_at} on: the model would never stop.",
            f"Raise max_length (the longest row has {report.longest} tokens), or mend the template.",
        )


def _divided(train: list[Sample], share: float, seed: int) -> tuple[list[Sample], list[Sample]]:
    """Hold rows back by chance; all pieces of one row stay together."""
    rows = sorted({(s.row.file, s.row.number) for s in train})
    count = min(max(1, round(len(rows) * share)), len(rows) - 1) if share else 0
    if count < 1:
        return train, []
    held = set(random.Random(seed).sample(rows, count))
    kept = [s for s in train if (s.row.file, s.row.number) not in held]
    return kept, [s for s in train if (s.row.file, s.row.number) in held]
