"""What a person sees of the data before the start: the first rows as the model reads them."""

from collections.abc import Sequence
from typing import Any

from backend.train.data.encoder import Encoder
from backend.train.data.masking import Sample
from backend.train.data.prepare import Prepared

_SHOWN = 4000  # characters of one row


def preview(prepared: Prepared, encoder: Encoder, count: int) -> dict[str, Any]:
    """Return the report as plain values, with `count` rows cut where learning begins and ends."""
    report = prepared.report
    return {
        "format": report.format,
        "title": report.title,
        "rows": report.rows,
        "train": len(prepared.train),
        "validation": len(prepared.validation),
        "tokens": report.tokens,
        "supervised_tokens": report.supervised,
        "supervised_share": report.supervised / report.tokens if report.tokens else 0.0,
        "longest": report.longest,
        "truncated": report.truncated,
        "unlearned_turns": report.unlearned_turns,
        "refused": report.refused,
        "refusals": [{"where": r.where, "reason": r.reason} for r in report.refusals],
        "notes": report.notes,
        "samples": [_shown(s, encoder) for s in prepared.train[:count]],
    }


def _shown(sample: Sample, encoder: Encoder) -> dict[str, Any]:
    return {
        "where": sample.row.where,
        "tokens": len(sample.ids),
        "supervised_tokens": sample.supervised,
        "cut": sample.cut,
        "pieces": pieces(sample, encoder),
    }


def pieces(sample: Sample, encoder: Encoder) -> list[dict[str, Any]]:
    """Return the text of a sample in runs of tokens that are learned or not, decoded from the ids."""
    ids: Sequence[int] = sample.ids.tolist()
    edges = [i for i in range(1, len(ids)) if sample.learned[i] != sample.learned[i - 1]]
    runs: list[dict[str, Any]] = []
    start, before = 0, ""
    for end in (*edges, len(ids)):
        upto = encoder.words.decode(
            ids[:end], special=True
        )  # whole: a space may hang on what is before
        text = upto[len(before) :][: max(0, _SHOWN - len(before))]
        if text:
            runs.append({"text": text, "learned": bool(sample.learned[start])})
        start, before = end, upto
    return runs
