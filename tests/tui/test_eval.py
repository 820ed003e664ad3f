"""`sterna eval` as people and programs call it."""

import json

import pytest
from tiny_models import tiny_llama

from tui.cli import main


@pytest.fixture
def files(tmp_path):
    model = tiny_llama(tmp_path / "tiny.gguf", tensor_type="F16").path
    text = tmp_path / "text.txt"
    text.write_text("A tern flies from pole to pole and back. " * 40)
    return str(model), str(text)


def test_the_result_in_json(files, capsys):
    model, text = files
    assert main(["eval", model, "--text", text, "--context", "32", "--json"]) == 0
    data = json.loads(capsys.readouterr().out)
    assert data["tokens"] > 0
    assert data["perplexity"] > 1
    assert data["kl_mean"] is None
    assert (
        main(["eval", model, "--text", text, "--against", model, "--context", "32", "--json"]) == 0
    )
    both = json.loads(capsys.readouterr().out)
    assert both["kl_mean"] == 0
    assert both["top1_agreement"] == 1
    assert both["perplexity"] == both["against_perplexity"] == data["perplexity"]
    assert data["against_perplexity"] is None


def test_the_result_for_people(files, capsys):
    model, text = files
    arguments = [
        "eval",
        model,
        "--text",
        text,
        "--against",
        model,
        "--context",
        "32",
        "--chunks",
        "2",
    ]
    assert main(arguments) == 0
    captured = capsys.readouterr()
    assert "perplexity" in captured.out
    assert "100.00%" in captured.out
    assert "100 %" in captured.err


def test_events_for_programs(files, capsys):
    model, text = files
    assert main(["eval", model, "--text", text, "--context", "32", "--events"]) == 0
    *progress, done = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert done["event"] == "done"
    assert progress[-1]["unit"] == "tokens"


def test_errors(files, tmp_path, capsys):
    model, text = files
    binary = tmp_path / "binary"
    binary.write_bytes(b"\xff\xfe\x00\x80" * 100)
    for arguments, kind in (
        (["--text", str(binary)], "bad_text"),
        (["--text", str(tmp_path / "none")], "not_found"),
        (["--text", text, "--chunks", "0"], "bad_argument"),
        (["--text", text, "--context", "4"], "bad_argument"),
        ([], "bad_argument"),
    ):
        assert main(["eval", model, *arguments, "--json"]) == 1
        assert json.loads(capsys.readouterr().out)["error"]["kind"] == kind
