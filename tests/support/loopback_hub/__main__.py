"""A Hub in a process of its own: `python -m loopback_hub REPO FILE=PATH…` prints its endpoint.

A line on its standard input ends it.
"""

import sys
from pathlib import Path

from loopback_hub.repos import Repo
from loopback_hub.server import LoopbackHub


def main():
    name, *files = sys.argv[1:]
    pairs = (text.split("=", 1) for text in files)
    with LoopbackHub(Repo(name, {path: Path(place) for path, place in pairs})) as hub:
        print(hub.endpoint, flush=True)  # noqa: T201
        sys.stdin.readline()


if __name__ == "__main__":
    main()
