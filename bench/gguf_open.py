"""How fast a model file opens: `python -m bench.gguf_open [FILE]`.

Without a file, a header of the size of Qwen2's is made: 151,936 tokens with types and scores, 151,387
merges. Prints our time, that of the `gguf` package's reader, and the ratio.
"""

import argparse
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import gguf
import numpy as np

from backend.gguf import open_gguf

_TOKENS, _MERGES = 151_936, 151_387


def make_header(path: Path, tokens: int = _TOKENS, merges: int = _MERGES) -> None:
    """Write a file with a vocabulary of that size and one small tensor."""
    rng = random.Random(1)
    texts = [f"{rng.getrandbits(28):x}{i:x}"[: rng.randint(2, 14)] for i in range(tokens)]
    writer = gguf.GGUFWriter(path, "qwen2")
    writer.add_tokenizer_model("gpt2")
    writer.add_token_list(texts)
    writer.add_token_types([1] * tokens)
    writer.add_token_scores([-float(i) for i in range(tokens)])
    writer.add_token_merges([f"{rng.choice(texts)} {rng.choice(texts)}" for _ in range(merges)])
    writer.add_tensor("token_embd.weight", np.zeros((4, 32), np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def _seconds(work: Callable[[], object], repeats: int) -> float:
    """Return the median time of `work`."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def _all_texts(path: Path) -> None:
    with open_gguf(path) as file:
        for key in ("tokenizer.ggml.tokens", "tokenizer.ggml.merges"):
            file.raw_strings(key)


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.gguf_open", description=__doc__)
    parser.add_argument("file", nargs="?", type=Path, help="a GGUF file that you trust")
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        path = options.file or Path(folder) / "header.gguf"
        if options.file is None:
            make_header(path)
        ours = _seconds(lambda: open_gguf(path).close(), 15)
        texts = _seconds(lambda: _all_texts(path), 5)
        theirs = _seconds(lambda: gguf.GGUFReader(path), 1)
        print(f"file                        {path.stat().st_size / 1e6:9.2f} MB")
        print(f"open_gguf                   {ours * 1e3:9.2f} ms")
        print(f"  and every token and merge {texts * 1e3:9.2f} ms")
        print(f"gguf.GGUFReader             {theirs * 1e3:9.2f} ms")
        print(f"ratio                       {theirs / ours:9.1f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
