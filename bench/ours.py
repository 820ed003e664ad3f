"""One run of Sterna's engine, as JSON: `python -m bench.ours MODEL PROMPT ANSWER THREADS DEPTH`."""

import json
import sys

from backend.errors import SternaError
from backend.inference import bench, load_model


def main(arguments: list[str]) -> int:
    """Load, time once, print; a message on stderr and 1 when that is not possible."""
    path, (prompt, answer, threads, depth) = arguments[0], (int(n) for n in arguments[1:])
    try:
        model = load_model(path, threads=threads, context=depth + prompt + 2 * answer + 1)
        result = bench(model, prompt, answer, repeats=1, depth=depth)
    except SternaError as error:
        print(error.message, file=sys.stderr)
        return 1
    found = {
        "prefill": max(result.prompt_per_second, default=0.0),
        "decode": max(result.decode_per_second, default=0.0),
        "note": f"{result.isa} kernels",
        "bandwidth": result.bandwidth,
        "bytes_per_token": result.bytes_per_token,
        "peak_rss": result.peak_rss,
        "attention": result.shares.get("attend", 0.0),
    }
    print(json.dumps(found))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
