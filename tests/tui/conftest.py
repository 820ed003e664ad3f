"""The real app on real files."""

from dataclasses import dataclass
from pathlib import Path

import pytest
from frozen import NOW, frozen
from ggufs import tiny_bitnet, tiny_llama
from loopback_hub import LoopbackHub

from backend import paths
from backend.library import mark_used
from tui.app import SternaApp

HOSTILE = "evil [/nope] \x1b[2J[@click=app.quit]quit[/]"


@pytest.fixture
def app(home) -> SternaApp:
    """Return the app over whatever is in the test's home."""
    return SternaApp(frozen())


@pytest.fixture
def hub(home, monkeypatch):
    """Run a Hub on loopback that is the Hub for this test."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE"):
        monkeypatch.delenv(name, raising=False)
    with LoopbackHub() as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub


@pytest.fixture
def token_store(home, hub, monkeypatch):
    """Let huggingface_hub keep tokens in the test's home: it read where when it was imported."""
    from huggingface_hub import constants, hf_api

    folder = home / "huggingface"
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(folder / "token"))
    monkeypatch.setattr(constants, "HF_STORED_TOKENS_PATH", str(folder / "stored_tokens"))
    monkeypatch.setattr(hf_api.api, "endpoint", hub.endpoint)
    return folder / "token"


@dataclass
class Shelf:
    """The models of a test: a ternary one, one in the Hugging Face cache, a broken and a hostile one."""

    ternary: Path
    cached: Path
    broken: Path
    hostile: Path


@pytest.fixture
def shelf(home) -> Shelf:
    """Put models of several stores into the test's home."""
    own = paths.models_dir()
    own.mkdir(parents=True)
    snapshot = home / "huggingface/hub/models--someone--Tiny-GGUF/snapshots/0123"
    snapshot.mkdir(parents=True)
    shelf = Shelf(
        own / "ternary-I2_S.gguf",
        snapshot / "tiny-Q8_0.gguf",
        own / "broken.gguf",
        own / "hostile.gguf",
    )
    tiny_bitnet(shelf.ternary)
    tiny_llama(
        shelf.cached,
        tensor_type="Q8_0",
        metadata={"general.license": "apache-2.0", "general.author": HOSTILE},
    )
    shelf.broken.write_bytes(shelf.ternary.read_bytes()[:3000])
    tiny_llama(shelf.hostile, metadata={"general.architecture": HOSTILE})
    mark_used(shelf.cached, NOW - 7300)
    mark_used(shelf.ternary, NOW - 90_000)
    return shelf
