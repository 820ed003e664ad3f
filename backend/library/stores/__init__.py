"""Where programs keep models: one module a store, each tolerant of anything it meets."""

import os
from dataclasses import dataclass

from backend.library.stores.folder import Folders, Own, Starter
from backend.library.stores.hugging_face import HuggingFace
from backend.library.stores.llama_cpp import LlamaCpp
from backend.library.stores.lm_studio import LMStudio
from backend.library.stores.ollama import Ollama
from backend.library.stores.store import Belongings, Leftover, Store
from backend.settings import Settings

__all__ = ["STORES", "Belongings", "Leftover", "Root", "Store", "roots"]

# In the order in which places of the same content are preferred.
STORES: dict[str, Store] = {
    store.name: store
    for store in (Starter(), Own(), HuggingFace(), Ollama(), LMStudio(), LlamaCpp(), Folders())
}


@dataclass(frozen=True, slots=True)
class Root:
    """A folder in which a store keeps models. It need not exist."""

    store: Store
    path: str


def roots(settings: Settings) -> list[Root]:
    """Return the roots of all stores, Sterna's own first, each folder once."""
    found: dict[str, Root] = {}
    for store in STORES.values():
        for path in store.roots(settings):
            plain = os.path.abspath(path)
            if "\0" not in plain:
                found.setdefault(os.path.realpath(plain), Root(store, plain))
    return list(found.values())
