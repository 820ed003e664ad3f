"""How fast many models list: `python -m bench.library_list [--models 10000]`.

Makes that many small model files in a temporary folder, laid out as the Hugging Face cache, Ollama,
LM Studio and a plain folder do, and times a look over them all beside a plain walk that stats every
file of the same tree. The first look opens every file; the second is the usual case.
"""

import argparse
import hashlib
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

SHARES = {"hub": 4, "ollama": 2, "studio": 3, "plain": 1}
_STRING, _U32 = 8, 4


def model_bytes(number: int) -> bytes:
    """Return a whole GGUF file with one small tensor."""

    def text(value: str) -> bytes:
        raw = value.encode()
        return struct.pack("<Q", len(raw)) + raw

    def key(name: str, kind: int, value: bytes) -> bytes:
        return text(name) + struct.pack("<I", kind) + value

    keys = [
        key("general.architecture", _STRING, text("llama")),
        key("general.name", _STRING, text(f"Model {number}")),
        key("llama.block_count", _U32, struct.pack("<I", 1)),
        key("llama.context_length", _U32, struct.pack("<I", 4096)),
    ]
    tensor = text("token_embd.weight") + struct.pack("<IQQIQ", 2, 8, 4, 0, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor
    return head + bytes(-len(head) % 32) + number.to_bytes(128, "little")


def make_tree(home: Path, count: int) -> None:
    """Write `count` models below `home`, spread over the stores."""
    total = sum(SHARES.values())
    owners = [store for store, share in SHARES.items() for _ in range(share)]
    makers = {"hub": _in_hub, "ollama": _in_ollama, "studio": _in_studio, "plain": _in_plain}
    for number in range(count):
        makers[owners[number % total]](home, number, model_bytes(number))


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def _in_hub(home: Path, number: int, content: bytes) -> None:
    repo = home / f"hub/models--owner{number % 50}--model-{number}-GGUF"
    blob = repo / "blobs" / hashlib.sha256(content).hexdigest()
    _write(blob, content)
    link = repo / "snapshots" / f"{number:040x}" / f"model-{number}-Q4_K_M.gguf"
    link.parent.mkdir(parents=True)
    link.symlink_to(os.path.relpath(blob, link.parent))
    _write(repo / "refs/main", link.parent.name.encode())


def _in_ollama(home: Path, number: int, content: bytes) -> None:
    digest = hashlib.sha256(content).hexdigest()
    _write(home / f"ollama/blobs/sha256-{digest}", content)
    layer = {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{digest}"}
    manifest = json.dumps({"schemaVersion": 2, "layers": [layer]}).encode()
    place = f"ollama/manifests/registry.ollama.ai/library/model{number // 5}/v{number}"
    _write(home / place, manifest)


def _in_studio(home: Path, number: int, content: bytes) -> None:
    place = f".lmstudio/models/publisher{number % 50}/model-{number}/model-{number}-Q4_K_M.gguf"
    _write(home / place, content)


def _in_plain(home: Path, number: int, content: bytes) -> None:
    _write(home / f"sterna/models/model-{number}.gguf", content)


def environment(home: Path) -> dict[str, str]:
    """Return the variables that put every store below `home`."""
    return {
        "HOME": str(home),
        "STERNA_HOME": str(home / "sterna"),
        "HF_HUB_CACHE": str(home / "hub"),
        "OLLAMA_MODELS": str(home / "ollama"),
        "LLAMA_CACHE": str(home / "llama"),
    }


def plain_walk(home: Path) -> int:
    """Stat every file below a folder; return how many there are."""
    count = 0
    for where, _, names in os.walk(home):
        for name in names:
            os.stat(os.path.join(where, name))  # noqa: PTH116, PTH118
            count += 1
    return count


def _seconds(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def measure(count: int, repeats: int) -> dict[str, float]:
    """Return the seconds of each way to look over `count` models, and their ratio."""
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        make_tree(home, count)
        os.environ.update(environment(home))
        from backend.library import scan

        command = [sys.executable, "-m", "tui.cli", "ls", "--json"]
        figures = {"first": _seconds(scan, 1), "second": _seconds(scan, repeats)}
        figures["walk"] = _seconds(lambda: plain_walk(home), repeats)
        figures["command"] = _seconds(
            lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True), repeats
        )
        figures["models"] = len(scan())
    figures["ratio"] = figures["second"] / figures["walk"]
    return figures


def main(arguments: list[str] | None = None) -> int:
    """Print the table; return the exit status."""
    parser = argparse.ArgumentParser(prog="bench.library_list", description=__doc__)
    parser.add_argument("--models", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args(arguments)
    found = measure(options.models, options.repeats)
    print(f"models                  {found['models']:9.0f}")
    print(f"first look              {found['first'] * 1e3:9.0f} ms (every file opened)")
    print(f"second look             {found['second'] * 1e3:9.0f} ms")
    print(f"`sterna ls --json`      {found['command'] * 1e3:9.0f} ms (the process and its output)")
    print(f"plain walk with stat    {found['walk'] * 1e3:9.0f} ms")
    print(f"ratio, second to walk   {found['ratio']:9.1f} x")
    return 0


if __name__ == "__main__":
    sys.exit(main())
