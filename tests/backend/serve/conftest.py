from pathlib import Path

import pytest
from tiny_models import tiny_llama


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Path:
    """A model that never ends a turn by itself: no token of it does."""
    metadata = {"tokenizer.ggml.eos_token_id": None}
    path = tmp_path_factory.mktemp("models") / "tiny.gguf"
    return tiny_llama(path, context=16384, metadata=metadata).path
