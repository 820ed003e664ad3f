"""Stores in a home of the test's own, and small real models to put into them."""

import pytest
from ggufs import tiny_llama
from stores import Hub, Ollama

from backend import paths


@pytest.fixture
def gguf(tmp_path_factory):
    """Return the bytes of a small model; another one for every seed."""
    folder = tmp_path_factory.mktemp("gguf")

    def make(seed=0, **changes) -> bytes:
        path = folder / f"{seed}.gguf"
        tiny_llama(path, hidden=32, ffn=32, layers=1, seed=seed, **changes)
        return path.read_bytes()

    return make


@pytest.fixture
def own(home):
    """Return Sterna's own folder of models."""
    folder = paths.models_dir()
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def hub(home) -> Hub:
    return Hub(home / "huggingface" / "hub")


@pytest.fixture
def ollama(home) -> Ollama:
    return Ollama(home / "ollama")
