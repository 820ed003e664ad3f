"""Which files of a folder are the weights of a checkpoint."""

from collections.abc import Collection

_CONFIG = "config.json"
_WEIGHTS = ".safetensors"


def weights_of(names: Collection[str]) -> list[str]:
    """Return the safetensors files of a folder that has a configuration beside them."""
    return [name for name in names if name.endswith(_WEIGHTS)] if _CONFIG in names else []
