"""A loaded model: graph, tokenizer, KV cache, sampler. `stream()` yields tokens.

from backend.inference import load_model
model = load_model("model.gguf")
for token in model.stream(model.tokenizer.encode("Once", special=True)):
print(token.text, end="")
"""

from backend.inference.bench import BenchResult, bench
from backend.inference.evaluation import Evaluation, evaluate
from backend.inference.importance import collect
from backend.inference.model import Model, load_model
from backend.inference.prompt import Prompt, encode_conversation
from backend.inference.sampling import GenerationReport, Sampling, Token

__all__ = [
    "BenchResult",
    "Evaluation",
    "GenerationReport",
    "Model",
    "Prompt",
    "Sampling",
    "Token",
    "bench",
    "collect",
    "encode_conversation",
    "evaluate",
    "load_model",
]
