"""A download in a process that may be killed: `python killable.py PIECE` prints its events."""

import json
import sys
import threading

from backend.hub.client import HubClient
from backend.hub.download import Download
from backend.hub.order import Order
from backend.hub.repository import read_repository
from backend.hub.transfer import Means
from backend.hub.variants import choose


def main():
    repo, piece = sys.argv[1], int(sys.argv[2])
    found = read_repository(HubClient(), repo)
    variant = choose(found.variants, "", repo)
    order = Order(repo, found.commit, variant.files, variant.quant)

    def tell(event):
        print(json.dumps(event), flush=True)  # noqa: T201

    Download(order, Means(piece=piece, small=0), threading.Event(), tell).run()


if __name__ == "__main__":
    main()
