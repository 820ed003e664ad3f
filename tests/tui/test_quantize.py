"""`sterna quantize` as people and programs call it."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from gguf_writing import write_gguf
from tiny_models import tiny_llama

from backend.gguf import open_gguf
from tui.cli import main


@pytest.fixture
def source(tmp_path):
    return tiny_llama(tmp_path / "tiny-F16.gguf", hidden=256, ffn=512, tensor_type="F16").path


def test_the_result_in_json(source, tmp_path, capsys):
    out = tmp_path / "out.gguf"
    assert main(["quantize", str(source), "q4_k_m", str(out), "--json"]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data["path"] == str(out)
    assert data["bytes"] == out.stat().st_size
    assert 4.5 < data["bits_per_weight"] < 5.2
    assert "100 %" in captured.err


def test_the_result_for_people_in_a_folder(source, tmp_path, capsys):
    folder = tmp_path / "new"
    folder.mkdir()
    assert main(["quantize", str(source), "Q8_0", str(folder)]) == 0
    assert (folder / "tiny-Q8_0.gguf").is_file()
    assert "bits a weight" in capsys.readouterr().out


def test_events_for_programs(source, tmp_path, capsys):
    assert main(["quantize", str(source), "Q6_K", str(tmp_path / "x.gguf"), "--events"]) == 0
    *progress, done = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert done["event"] == "done"
    assert done["bytes"] == (tmp_path / "x.gguf").stat().st_size
    assert {p["event"] for p in progress} == {"progress"}
    assert progress[-1]["done"] == progress[-1]["total"]


def test_an_importance_matrix_from_a_text(source, tmp_path, capsys):
    text, kept = tmp_path / "text.txt", tmp_path / "kept.gguf"
    text.write_text("A tern flies from pole to pole and back. " * 40)
    first, second, plain = (tmp_path / f"{n}.gguf" for n in range(3))
    by_text = ["--imatrix", str(text), "--save-imatrix", str(kept), "--chunks", "2"]
    assert main(["quantize", str(source), "Q3_K_M", str(first), *by_text]) == 0
    assert "tokens/s" in capsys.readouterr().err
    assert main(["quantize", str(source), "Q3_K_M", str(second), "--imatrix", str(kept)]) == 0
    assert main(["quantize", str(source), "Q3_K_M", str(plain)]) == 0
    with open_gguf(first) as file, open_gguf(second) as again, open_gguf(plain) as without:
        assert file.string("quantize.imatrix.dataset") == "text.txt"
        assert file.integer("quantize.imatrix.chunks_count") == 2
        name = "blk.0.ffn_up.weight"
        assert bytes(file.data(name)) == bytes(again.data(name)) != bytes(without.data(name))


def test_what_would_fail_fails_before_anything_is_collected(source, tmp_path, capsys):
    small, text = tmp_path / "small.gguf", tmp_path / "text.txt"
    text.write_text("A tern flies from pole to pole and back. " * 40)
    assert main(["quantize", str(source), "Q4_0", str(small)]) == 0
    capsys.readouterr()
    out = str(tmp_path / "x.gguf")
    away = str(tmp_path / "nowhere" / "m.gguf")
    for arguments, kind in (
        ([str(small), "Q3_K_S", out, "--imatrix", str(text)], "already_quantised"),
        ([str(source), "Q3_K_S", away, "--imatrix", str(text)], "not_found"),
        ([str(source), "Q3_K_S", out, "--imatrix", str(text), "--save-imatrix", away], "not_found"),
        ([str(source), "Q3_K_S", out, "--imatrix", str(text), "--chunks", "0"], "bad_argument"),
        ([str(source), "Q3_K_S", out, "--imatrix", str(tmp_path / "no.txt")], "not_found"),
    ):
        assert main(["quantize", *arguments, "--json"]) == 1
        captured = capsys.readouterr()
        assert json.loads(captured.out)["error"]["kind"] == kind
        assert "tokens/s" not in captured.err


@pytest.mark.parametrize(
    ("quant", "kind"), [("Q4", "bad_argument"), ("IQ1_S", "bad_argument"), ("Q4_K", "bad_argument")]
)
def test_errors(source, tmp_path, capsys, quant, kind):
    assert main(["quantize", str(source), quant, str(tmp_path / "x.gguf"), "--json"]) == 1
    captured = capsys.readouterr()
    assert json.loads(captured.out)["error"]["kind"] == kind
    assert captured.err.count("\n") == 1


@pytest.mark.parametrize("request_", [signal.SIGTERM, signal.SIGINT])
def test_a_job_that_is_asked_to_stop_leaves_nothing(tmp_path, request_):
    source = tmp_path / "large.gguf"
    zeros = np.zeros((8192, 4096), np.float16)
    write_gguf(source, {}, {f"blk.{i}.ffn_up.weight": zeros for i in range(3)})
    process = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "quantize", source, "Q4_K_S", tmp_path / "x.gguf", "--events"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert json.loads(process.stdout.readline())["event"] == "progress"
    process.send_signal(request_)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert err == b""
    assert [path.name for path in tmp_path.iterdir()] == ["large.gguf"]
