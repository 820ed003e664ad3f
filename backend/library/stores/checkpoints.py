"""Which files of a folder are the weights of a checkpoint, and which belong to it."""

import fnmatch
from collections.abc import Collection

_CONFIG = "config.json"
_WEIGHTS = ".safetensors"
# What `save_pretrained` writes beside the weights, and what the Hub has beside them.
_BESIDE = (
    "config.json", "generation_config.json", "tokenizer*", "special_tokens_map.json", "vocab.json",
    "merges.txt", "added_tokens.json", "chat_template.*", "preprocessor_config.json",
    "processor_config.json", "*.safetensors.index.json", "README.md", "LICENSE*", ".gitattributes",
)  # fmt: skip


def weights_of(names: Collection[str]) -> list[str]:
    """Return the safetensors files of a folder that has a configuration beside them."""
    return [name for name in names if name.endswith(_WEIGHTS)] if _CONFIG in names else []


def belonging_to(names: Collection[str]) -> list[str]:
    """Return the files of a folder that go with its checkpoint."""
    return [
        name
        for name in names
        if name.endswith(_WEIGHTS) or any(fnmatch.fnmatchcase(name, way) for way in _BESIDE)
    ]
