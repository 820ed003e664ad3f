"""The verbs that keep the library: verify, rm, tidy, mark."""

import json
import os
import pty
import subprocess
import sys

import pytest
from ggufs import tiny_llama
from stores import Hub

from backend import paths
from tui.cli import main


@pytest.fixture
def content(tmp_path) -> bytes:
    tiny_llama(tmp_path / "m.gguf")
    return (tmp_path / "m.gguf").read_bytes()


@pytest.fixture
def own(home):
    paths.models_dir().mkdir(parents=True)
    return paths.models_dir()


def result(capsys, *arguments):
    status = main([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_verify_tells_good_from_bad(capsys, home, own, content):
    (own / "mine.gguf").write_bytes(content)
    Hub(home / "huggingface/hub").add("a/B", {"b.gguf": content})
    status, data = result(capsys, "verify", "a/B")
    assert (status, data["ok"]) == (0, True)
    assert {"path", "bytes", "state", "sha256", "expected", "error"} == set(data["files"][0])
    status, data = result(capsys, "verify", "--all")
    assert sorted(file["state"] for file in data["files"]) == ["ok", "recorded", "recorded"]

    blob = next((home / "huggingface/hub/models--a--B/blobs").iterdir())
    with blob.open("r+b") as file:
        file.write(b"GGUX")
    assert main(["verify", str(blob)]) == 1
    shown = capsys.readouterr()
    assert "damaged" in shown.out
    assert "sterna rm" in shown.err


@pytest.mark.parametrize("arguments", [[], ["x", "--all"]])
def test_verify_wants_one_model_or_all(capsys, arguments):
    status, data = result(capsys, "verify", *arguments)
    assert (status, data["error"]["kind"]) == (1, "bad_argument")


def test_verify_shows_progress_to_who_watches(own, content):
    with (own / "large.gguf").open("wb") as file:
        file.write(content)
        file.truncate(400 << 20)
    here, there = pty.openpty()
    done = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "verify", "large"],
        stdout=subprocess.DEVNULL, stderr=there, env={**os.environ, "COLUMNS": "100"},
    )  # fmt: skip
    os.close(there)
    seen = b""
    try:
        while piece := os.read(here, 65536):
            seen += piece
    except OSError:  # the other end has closed
        pass
    assert done.wait(60) == 0
    assert b"% of 419 MB" in seen
    assert b"/s" in seen
    assert b"left" in seen
    os.close(here)
