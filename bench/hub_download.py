"""How fast a file comes from the Hub: `python -m bench.hub_download [--size MB] [--folder DIR]`.

A Hub runs on loopback in a process of its own and lets the kernel send. In turns, curl fetches the file
into a folder and Sterna fetches it into a cache in the same folder: in parallel ranges, journalled,
hashed and checked. Prints both speeds and their ratio; by default in memory (/dev/shm), so that the
programs are compared and not the disk.
"""

import argparse
import contextlib
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

from backend.hub.client import HubClient
from backend.hub.download import Download
from backend.hub.order import Order
from backend.hub.repository import read_repository
from backend.hub.transfer import Means
from backend.hub.variants import choose

_REPO, _FILE = "bench/model", "model-Q4_K_M.gguf"
_SUPPORT = Path(__file__).resolve().parent.parent / "tests" / "support"


@contextlib.contextmanager
def serving(file: Path) -> Iterator[str]:
    """Serve a file as a model; yield the endpoint."""
    environment = {**os.environ, "PYTHONPATH": str(_SUPPORT)}
    command = [sys.executable, "-m", "loopback_hub", _REPO, f"{_FILE}={file}"]
    with subprocess.Popen(
        command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as hub:
        assert hub.stdout is not None
        assert hub.stdin is not None
        try:
            yield hub.stdout.readline().strip()
        finally:
            hub.stdin.close()


def warm(folder: Path, size: int) -> None:
    """Use as much memory as a download will, so that neither program waits for the host of a virtual machine."""
    scratch, data = folder / "scratch", bytes(1 << 20)
    with scratch.open("wb") as file:
        for _ in range(size >> 20):
            file.write(data)
    scratch.unlink()


def curl(endpoint: str, folder: Path) -> float:
    """Return the seconds that curl takes."""
    target = folder / "curl.out"
    url = f"{endpoint}/{_REPO}/resolve/main/{_FILE}"
    began = time.perf_counter()
    subprocess.run(["curl", "-sSfL", "-o", str(target), url], check=True)
    seconds = time.perf_counter() - began
    target.unlink()
    return seconds


def sterna(order: Order, folder: Path, connections: int) -> float:
    """Return the seconds that a download takes, from the question where the file is to its name."""
    os.environ["HF_HOME"] = str(folder / "hf")
    began = time.perf_counter()
    Download(order, Means(connections=connections), threading.Event(), lambda _: None).run()
    seconds = time.perf_counter() - began
    shutil.rmtree(folder / "hf")
    return seconds


def measure(size: int, folder: Path, rounds: int, connections: int) -> dict[str, object]:
    """Return both speeds in bytes a second (medians), and the ratio."""
    source = folder / "source.gguf"
    with source.open("wb") as file:
        for _ in range(size >> 20):
            file.write(os.urandom(1 << 20))
    times: dict[str, list[float]] = {"curl": [], "sterna": []}
    with serving(source) as endpoint:
        os.environ["HF_ENDPOINT"] = endpoint
        found = read_repository(HubClient(), _REPO)
        variant = choose(found.variants, "", _REPO)
        order = Order(_REPO, found.commit, variant.files, variant.quant)
        for turn in range(rounds + 1):  # the first warms up and does not count
            took: dict[str, float] = {}
            # Each goes first in every other round.
            for name in sorted(times, reverse=bool(turn % 2)):
                warm(folder, size)
                if name == "curl":
                    took[name] = curl(endpoint, folder)
                else:
                    took[name] = sterna(order, folder, connections)
            for name, seconds in took.items():
                if turn:
                    times[name].append(seconds)
    real = source.stat().st_size
    speeds = {name: real / statistics.median(values) for name, values in times.items()}
    return {
        "bytes": real,
        "curl_bytes_per_second": round(speeds["curl"]),
        "sterna_bytes_per_second": round(speeds["sterna"]),
        "ratio": round(speeds["sterna"] / speeds["curl"], 3),
        "rounds": [[round(t, 3) for t in pair] for pair in zip(*times.values(), strict=True)],
    }


def main(arguments: list[str] | None = None) -> int:
    """Print the figures as JSON; fail below nine tenths of curl's speed."""
    parser = argparse.ArgumentParser(prog="bench.hub_download", description=__doc__)
    parser.add_argument("--size", type=int, default=1000, help="MB of the file")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, default=Means().connections)
    shm = Path("/dev/shm")
    usual = shm if shm.is_dir() else Path(tempfile.gettempdir())
    parser.add_argument("--folder", type=Path, default=usual)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        figures = measure(
            options.size * 1_000_000, Path(folder), options.rounds, options.connections
        )
    print(json.dumps(figures))
    return 0 if float(str(figures["ratio"])) >= 0.9 else 1


if __name__ == "__main__":
    sys.exit(main())
