"""Which quant, will it fit, how long a context, how fast. Everything here is a pure function."""

from backend.fit.candidates import Candidate, Offer, Pace, Verdict, as_offered, judge, tokens
from backend.fit.grid import Grid, contexts, grid
from backend.fit.model import Model, quantised, read_model, weights_per_token, work_per_token
from backend.fit.needs import Needs, Runtime, llama_cpp, longest_context
from backend.fit.reasons import reasons, ways_out
from backend.fit.recommend import Recommendation, largest_model, recommend
from backend.fit.rules import explain, rules
from backend.fit.runtimes import Offload, offload
from backend.fit.shapes import Shape, shaped, typical
from backend.fit.speed import Speed
from backend.fit.use import Use

__all__ = [
    "Candidate", "Grid", "Model", "Needs", "Offer", "Offload", "Pace", "Recommendation", "Runtime",
    "Shape", "Speed", "Use", "Verdict", "as_offered", "contexts", "explain", "grid", "judge", "largest_model", "llama_cpp",
    "longest_context", "offload", "quantised", "read_model", "reasons", "recommend", "rules", "shaped", "tokens",
    "typical", "ways_out", "weights_per_token", "work_per_token",
]  # fmt: skip
