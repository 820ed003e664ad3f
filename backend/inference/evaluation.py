"""How well a model predicts a text, and how near it is to another.

Perplexity as llama.cpp's tool of that name counts it, so that figures can be compared: the text is cut
into chunks of `context` tokens without overlap, the first token of each is replaced by BOS where the
model begins texts with it, and only the second half of a chunk is scored, where every token has at least
half a chunk before it. Perplexity is exp of the mean negative log-likelihood of these tokens.

Against a second model, over the same tokens: the mean of KL(second || first) = sum over the vocabulary of
p2 (log p2 - log p1), in nats, and how often both hold the same token for the likeliest. For the loss of a
quant the second is the model in full precision.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import repeat

import numpy as np
import numpy.typing as npt

from backend.errors import SternaError
from backend.inference.model import Model
from backend.progress import Meter, Report, nothing

CONTEXT = 512
_LEAST = 8  # tokens, of a chunk
_ROWS = 32  # scored at once: vocabularies are wide

Logits = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """The result. Errors are standard errors of the means before them; None: there was no second model."""

    tokens: int  # scored
    perplexity: float
    perplexity_error: float
    kl_mean: float | None
    kl_error: float | None
    top1_agreement: float | None
    chunks: int
    context: int
    against_perplexity: float | None  # of the second model


@dataclass
class _Tally:
    likelihood: list[npt.NDArray[np.float64]] = field(default_factory=list)
    reference: list[npt.NDArray[np.float64]] = field(default_factory=list)
    divergence: list[npt.NDArray[np.float64]] = field(default_factory=list)
    agreed: int = 0


def evaluate(
    model: Model,
    text: str,
    *,
    against: Model | None = None,
    context: int = CONTEXT,
    chunks: int | None = None,
    report: Report = nothing,
) -> Evaluation:
    """Evaluate a loaded model on a text, at most the first `chunks` of it.

    Both models must hold `context` tokens. Raises SternaError: text_too_short, other_vocabulary,
    bad_argument, cancelled (after `Model.cancel` from another thread).
    """
    if against is not None:
        _check_vocabulary(model, against, text[:10_000])
    pieces = chunks_of(model, text, context, chunks)
    context = len(pieces[0])
    tally = _Tally()
    models = 1 if against is None else 2
    meter = Meter(len(pieces) * context * models, "tokens", report)
    for number, ids in enumerate(pieces, 1):
        _score(model, against, ids, tally, meter, f"chunk {number} of {len(pieces)}")
    return _result(tally, len(pieces), context, against is not None)


def chunks_of(model: Model, text: str, context: int, most: int | None) -> list[list[int]]:
    """Return a text as chunks of `context` tokens, the first `most` of them; raises SternaError."""
    if context < _LEAST or context > model.context:
        raise SternaError(
            "bad_argument",
            f"Chunks of {context} tokens do not fit a model that is loaded for {model.context}.",
            f"Choose a context from {_LEAST} tokens on that the model takes.",
        )
    tokenizer = model.tokenizer
    ids = tokenizer.encode(text, bos=tokenizer.add_bos)
    context = min(context, len(ids))
    if context < _LEAST:
        raise SternaError(
            "text_too_short",
            f"The text has {len(ids)} tokens: too few to say anything.",
            f"Give a text of {CONTEXT} tokens or more; some ten thousand make a good figure.",
        )
    cut = [ids[at : at + context] for at in range(0, len(ids) - context + 1, context)][:most]
    if tokenizer.add_bos and tokenizer.bos_id is not None:
        cut = [[tokenizer.bos_id, *chunk[1:]] for chunk in cut]
    return cut


def _score(
    model: Model, against: Model | None, ids: Sequence[int], tally: _Tally, meter: Meter, what: str
) -> None:
    """Add one chunk. Logits after token i say how likely token i + 1 was."""
    start = len(ids) // 2
    other: Iterator[Logits | None] = repeat(None)
    if against is not None:
        other = iter(np.concatenate(list(_told(against, ids, start, meter, what))))
    row = start
    for block in _told(model, ids, start, meter, what):
        for at in range(0, len(block), _ROWS):
            some = block[at : at + _ROWS]
            reference = [logits for _, logits in zip(some, other, strict=False)]
            targets = np.asarray(ids[row + 1 : row + 1 + len(some)])
            row += len(some)
            _tally_rows(some[: len(targets)], reference[: len(targets)], targets, tally)


def _told(
    model: Model, ids: Sequence[int], start: int, meter: Meter, what: str
) -> Iterator[Logits]:
    """Yield logits from `start` on, and tell how far it is."""
    seen = 0
    for block in model.logits_after(ids, start):
        seen += len(block)
        yield block
    if start + seen < len(ids):
        raise SternaError("cancelled", "The evaluation was stopped.", "")
    meter.add(len(ids), what)


def _tally_rows(
    logits: Logits,
    reference: Sequence[Logits | None],
    targets: npt.NDArray[np.int64],
    tally: _Tally,
) -> None:
    if not len(targets):
        return
    ours = _log_softmax(logits)
    tally.likelihood.append(-ours[np.arange(len(targets)), targets])
    known = [row for row in reference if row is not None]
    if known:
        width = min(ours.shape[1], len(known[0]))  # some files pad their vocabulary
        stacked = np.stack(known)
        theirs = _log_softmax(stacked)
        tally.reference.append(-theirs[np.arange(len(targets)), targets])
        theirs = _log_softmax(stacked[:, :width])
        ours = _log_softmax(logits[:, :width])
        tally.divergence.append((np.exp(theirs) * (theirs - ours)).sum(axis=1))
        tally.agreed += int((theirs.argmax(axis=1) == ours.argmax(axis=1)).sum())


def _log_softmax(logits: Logits) -> npt.NDArray[np.float64]:
    wide = logits.astype(np.float64)
    wide -= wide.max(axis=1, keepdims=True)
    result: npt.NDArray[np.float64] = wide - np.log(np.exp(wide).sum(axis=1, keepdims=True))
    return result


def _result(tally: _Tally, chunks: int, context: int, compared: bool) -> Evaluation:
    likelihood = np.concatenate(tally.likelihood)
    mean, error = _mean(likelihood)
    perplexity = _perplexity(mean)
    kl_mean, kl_error = _mean(np.concatenate(tally.divergence)) if compared else (None, None)
    return Evaluation(
        tokens=len(likelihood),
        perplexity=perplexity,
        perplexity_error=perplexity * error,
        kl_mean=kl_mean,
        kl_error=kl_error,
        top1_agreement=tally.agreed / len(likelihood) if compared else None,
        chunks=chunks,
        context=context,
        against_perplexity=_perplexity(_mean(np.concatenate(tally.reference))[0])
        if compared
        else None,
    )


def _perplexity(mean: float) -> float:
    return math.exp(mean) if mean < 700 else math.inf


def _mean(values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the mean and its standard error."""
    error = values.std(ddof=1) / math.sqrt(len(values)) if len(values) > 1 else 0.0
    return float(values.mean()), float(error)


def _check_vocabulary(model: Model, against: Model, sample: str) -> None:
    same = model.tokenizer.encode(sample) == against.tokenizer.encode(sample)
    if not same:
        raise SternaError(
            "other_vocabulary",
            f"{model.card.name} and {against.card.name} cut the text into different tokens.",
            "Only models with one vocabulary can be compared, such as two quants of a model.",
        )
