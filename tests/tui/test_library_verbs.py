"""The verbs that keep the library: verify, rm, tidy, mark."""

import io
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


def names(capsys):
    data = result(capsys, "ls")[1]
    return [model["name"] for model in data["models"] if model["store"] != "starter"]


def test_rm_shows_what_it_frees_and_can_be_undone(capsys, own, content):
    (own / "mine.gguf").write_bytes(content)
    status, data = result(capsys, "rm", "mine", "--preview")
    assert (status, data["deleted"], data["frees"]) == (0, False, len(content))
    assert data["paths"] == [str(own / "mine.gguf")]
    assert names(capsys) == ["mine"]
    status, data = result(capsys, "rm", "mine", "--yes")
    assert (status, data["deleted"], data["undo"]) == (0, True, "sterna rm --undo")
    assert names(capsys) == []
    assert result(capsys, "rm", "--undo")[1]["restored"] == [str(own / "mine.gguf")]
    assert names(capsys) == ["mine"]
    assert result(capsys, "rm", "--undo")[1]["error"]["kind"] == "nothing_deleted"
    result(capsys, "rm", "mine", "--yes")
    assert result(capsys, "rm", "--empty")[1]["freed"] == len(content)
    assert result(capsys, "rm", "--undo")[1]["error"]["kind"] == "nothing_deleted"


@pytest.mark.parametrize(("answer", "left"), [("y\n", []), ("n\n", ["mine"]), ("", ["mine"])])
def test_rm_asks(capsys, monkeypatch, own, content, answer, left):
    (own / "mine.gguf").write_bytes(content)
    monkeypatch.setattr("sys.stdin", io.StringIO(answer))
    status = main(["rm", "mine"])
    shown = capsys.readouterr()
    assert str(own / "mine.gguf") in shown.err
    assert "will be freed" in shown.err
    assert (status == 0) == (left == [])
    assert names(capsys) == left


def test_rm_for_programs_never_waits_for_an_answer(capsys, own, content):
    (own / "mine.gguf").write_bytes(content)
    status, data = result(capsys, "rm", "mine")
    assert (status, data["error"]["kind"]) == (1, "not_confirmed")
    assert "--yes" in data["error"]["hint"]
    status, data = result(capsys, "rm", "mine", "--yes", "--now")
    assert (status, data["undo"]) == (0, None)
    assert names(capsys) == []


def test_rm_takes_one_place_or_all_of_them(capsys, home, own, content):
    (own / "mine.gguf").write_bytes(content)
    Hub(home / "huggingface/hub").add("a/B", {"b.gguf": content})
    assert main(["verify", "--all"]) == 0  # now both are known to be the same
    capsys.readouterr()
    data = result(capsys, "rm", "a/B", "--yes")[1]
    assert data["stores"] == ["huggingface"]
    assert [place["store"] for place in data["remains"]] == ["sterna"]
    assert names(capsys) == ["mine"]
    result(capsys, "rm", "--undo")
    assert len(result(capsys, "rm", "mine", "--everywhere", "--yes")[1]["stores"]) == 2
    assert names(capsys) == []


@pytest.mark.parametrize("arguments", [[], ["x", "--undo"], ["--undo", "--empty"]])
def test_rm_wants_one_thing_to_do(capsys, arguments):
    assert result(capsys, "rm", *arguments)[1]["error"]["kind"] == "bad_argument"


def test_tidy_tells_first_and_does_what_is_asked(capsys, home, own, content):
    (own / "mine.gguf").write_bytes(content)
    Hub(home / "huggingface/hub").add("a/B", {"b.gguf": content})
    partial = own / "half.gguf.part"
    partial.write_bytes(b"x" * 1000)
    os.utime(partial, (1, 1))
    status, data = result(capsys, "tidy")
    assert (status, data["done"]) == (0, None)
    assert data["reclaimable"] == len(content) + 1000
    assert [one["path"] for one in data["leftovers"]] == [str(partial)]
    assert partial.exists()
    assert main(["tidy"]) == 0
    shown = capsys.readouterr().out
    assert "--duplicates" in shown
    assert "--partial" in shown

    status, data = result(capsys, "tidy", "--partial")
    assert (status, data["error"]["kind"]) == (1, "not_confirmed")
    data = result(capsys, "tidy", "--partial", "--duplicates", "--yes")[1]
    assert data["done"] == {"linked": len(content), "deleted": 1000, "emptied": 0}
    assert not partial.exists()
    assert (own / "mine.gguf").stat().st_nlink == 2
    data = result(capsys, "tidy", "--trash", "--yes")[1]
    assert data["done"]["emptied"] == 1000
    assert result(capsys, "tidy")[1]["reclaimable"] == 0


def test_tidy_asks(capsys, monkeypatch, own):
    partial = own / "half.gguf.part"
    partial.write_bytes(b"x")
    os.utime(partial, (1, 1))
    monkeypatch.setattr("sys.stdin", io.StringIO("n\n"))
    assert main(["tidy", "--partial"]) == 1
    assert partial.exists()
    monkeypatch.setattr("sys.stdin", io.StringIO("y\n"))
    assert main(["tidy", "--partial"]) == 0
    assert not partial.exists()


def test_mark_gives_a_model_a_name_a_note_and_a_star(capsys, own, content):
    (own / "mine.gguf").write_bytes(content)
    arguments = ("--alias", "bard", "--note", "rhymes", "--favourite")
    status, data = result(capsys, "mark", "mine", *arguments)
    assert status == 0
    assert (data["alias"], data["note"], data["favourite"]) == ("bard", "rhymes", True)
    assert result(capsys, "show", "bard")[1]["path"] == str(own / "mine.gguf")
    (model,) = result(capsys, "ls", "--favourites")[1]["models"]
    assert (model["alias"], model["note"]) == ("bard", "rhymes")
    assert main(["ls"]) == 0
    assert "★ bard (mine)" in capsys.readouterr().out
    data = result(capsys, "mark", "bard", "--alias", "", "--no-favourite")[1]
    assert (data["alias"], data["note"], data["favourite"]) == (None, "rhymes", False)
    assert result(capsys, "show", "bard")[1]["error"]["kind"] == "not_found"


@pytest.mark.parametrize("name", ["a\nb", "\x1b[2J\x9b", "\u202egnp", "bytes\udcff\udcfe", "äö漢"])
def test_paths_of_any_bytes_come_out_of_json_as_they_are(capsys, own, content, name):
    path = own / f"{name}.gguf"
    path.write_bytes(content)
    (model,) = (m for m in result(capsys, "ls")[1]["models"] if m["store"] == "sterna")
    assert model["path"] == str(path)
    assert result(capsys, "rm", model["path"], "--yes")[1]["paths"] == [str(path)]
    result(capsys, "rm", "--undo")
    assert main(["ls"]) == 0
    assert not set(capsys.readouterr().out) & set("\x1b\x9b\u202e\udcff")
