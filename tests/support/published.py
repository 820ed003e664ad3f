"""Models as they stand on the Hub, small enough for tests: real GGUF files, real sizes."""

from loopback_hub import Repo
from tiny_models import tiny_llama

NAME = "own/Tern-GGUF"


def tern(folder, *quants, **more):
    """Return a repository with a tiny llama in several quants."""
    files = {"README.md": b"---\nlicense: mit\n---\n# Tern\n\nA **small** bird.\n"}
    for quant in quants or ("F16", "Q8_0", "Q4_0"):
        path = tiny_llama(
            folder / f"Tern-{quant}.gguf", tensor_type=quant, hidden=256, ffn=512
        ).path
        files[path.name] = path.read_bytes()
    usual = {"license": "mit", "trending": 100, "downloads": 1_200_000, "likes": 480}
    facts = {"total": 1_240_000_000, "architecture": "llama"}
    return Repo(more.pop("name", NAME), files | more.pop("files", {}), gguf=facts, **usual | more)


def many(count):
    """Return so many repositories, of growing size and falling fame."""
    return [
        Repo(
            f"many/Model-{number:03d}-GGUF",
            {f"model-{number}-Q4_K_M.gguf": b"x" * (number + 1)},
            trending=90 - number / 10,
            downloads=number,
            gguf={"total": (number + 1) * 10**8, "architecture": "qwen3"},
        )
        for number in range(count)
    ]
