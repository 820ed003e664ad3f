"""A loaded model: graph, tokenizer, KV cache, sampler. `stream()` yields tokens.

from backend.inference import load_model
model = load_model("model.gguf")
for token in model.stream(model.tokenizer.encode("Once", special=True)):
    ...
"""

from backend.inference.model import Model, load_model
from backend.inference.sampling import GenerationReport, Sampling, Token

__all__ = ["GenerationReport", "Model", "Sampling", "Token", "load_model"]
