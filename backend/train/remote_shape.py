"""The shape of a base that may still be on the Hub: its config.json or the header of a GGUF, no weights."""

import json

from backend.errors import SternaError
from backend.hub import reference
from backend.hub.client import HubClient
from backend.hub.remote_header import read_remote
from backend.hub.repository import read_repository
from backend.hub.variants import choose
from backend.train.shape import ModelShape, config_shape
from backend.train.source import find_here, shape_of, shape_of_header

_CONFIG = 4 << 20  # bytes of a config.json that are believed


def shape_anywhere(text: str) -> ModelShape:
    """Return the shape of the base that `text` means: a file, a folder, a name of the library, or
    owner/repo[:QUANT] of the Hub, of which a few kilobytes or the header are read. Raises SternaError.
    """
    here = find_here(text)
    if here is not None:
        return shape_of(here)
    meant = reference.parse(text)
    client = HubClient()
    found = read_repository(client, meant.repo, meant.revision)
    variant = choose(found.variants, meant.choice, found.repo)
    if variant.files[0].path.lower().endswith(".gguf"):
        return shape_of_header(read_remote(found, variant))
    try:
        config = json.loads(
            client.text(found.repo, found.commit, "config.json", limit=_CONFIG) or "null"
        )
    except (ValueError, RecursionError):
        config = None
    if not isinstance(config, dict):
        raise SternaError(
            "not_a_model",
            f"{found.repo} has no config.json that can be read.",
            "Name another repository.",
        )
    return config_shape(config)
