"""How much each input of each matrix matters: the mean of its square over a text.

The error that a rounded weight makes is the weight's error times the input that it meets, so the square
of the inputs is what quantising weighs its errors by (`backend.gguf.imatrix`). Of a mixture each expert
has a mean of its own, over the tokens that were sent to it.
"""

import numpy as np

from backend.errors import SternaError
from backend.gguf.imatrix import Importance
from backend.inference.evaluation import CONTEXT, chunks_of
from backend.inference.model import Model
from backend.progress import Meter, Report, nothing

# The output matrix sees one token of a chunk only: it is kept at more bits in every mix anyway.
_LEFT_OUT = ("output.weight", "token_embd.weight")


def collect(
    model: Model,
    text: str,
    *,
    dataset: str = "",
    context: int = CONTEXT,
    chunks: int | None = None,
    report: Report = nothing,
) -> Importance:
    """Run a text through a loaded model, at most the first `chunks` of `context` tokens of it.

    `dataset` names the text in the result. Raises SternaError: text_too_short, bad_argument, cancelled.
    """
    pieces = chunks_of(model, text, context, chunks)
    tokens = sum(map(len, pieces))
    meter = Meter(tokens, "tokens", report)
    model.watch_inputs()
    for number, ids in enumerate(pieces, 1):
        if not any(True for _ in model.logits_after(ids, len(ids) - 1)):
            raise SternaError("cancelled", "The collection was stopped.", "")
        meter.add(len(ids), f"chunk {number} of {len(pieces)}")
    entries = {}
    for name, (squares, seen) in model.input_squares().items():
        if name not in _LEFT_OUT:
            each = np.full(1, tokens) if seen is None else seen
            entries[name] = (squares / np.maximum(each, 1)[:, None]).astype(np.float32)
    return Importance(entries, dataset, len(pieces), chunk_size=len(pieces[0]))
