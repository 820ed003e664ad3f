"""A Hub in a process of its own: `python -m loopback_hub REPO FILE=PATH…` prints its endpoint."""

import mmap
import sys
import time
from pathlib import Path

from loopback_hub.repos import Repo
from loopback_hub.server import LoopbackHub


def _mapped(path):
    with Path(path).open("rb") as file:
        return mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)


def main():
    name, *files = sys.argv[1:]
    pairs = (text.split("=", 1) for text in files)
    with LoopbackHub(Repo(name, {path: _mapped(place) for path, place in pairs})) as hub:
        print(hub.endpoint, flush=True)  # noqa: T201
        while True:
            time.sleep(3600)


if __name__ == "__main__":
    main()
