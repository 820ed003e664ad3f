"""What every test needs: a home of its own, and where the conformance cases are."""

import os
from pathlib import Path

import pytest


@pytest.fixture(autouse=True)
def home(tmp_path_factory, monkeypatch) -> Path:
    """Give each test its own Sterna home and keep it away from the user's stores."""
    folder = tmp_path_factory.mktemp("home")
    monkeypatch.setenv("STERNA_HOME", str(folder / "sterna"))
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("HF_HOME", str(folder / "huggingface"))
    monkeypatch.setenv("OLLAMA_MODELS", str(folder / "ollama"))
    for name in ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.delenv(name, raising=False)
    return folder


@pytest.fixture(scope="session")
def conformance() -> Path:
    """Return the folder of real cases, or skip and say so."""
    folder = os.environ.get("STERNA_CONFORMANCE")
    if not folder or not Path(folder).is_dir():
        pytest.skip("set STERNA_CONFORMANCE to the folder of real cases to run this")
    return Path(folder)
