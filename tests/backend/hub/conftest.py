"""A Hub on loopback in the place of the real one."""

import pytest
from downloading import tiny_repo
from loopback_hub import LoopbackHub


@pytest.fixture
def hub(home, monkeypatch):
    """Run a Hub with one small model; huggingface_hub and Sterna are pointed to it."""
    for name in ("HF_TOKEN", "HF_HUB_OFFLINE", "HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    with LoopbackHub(tiny_repo()) as hub:
        monkeypatch.setenv("HF_ENDPOINT", hub.endpoint)
        yield hub
