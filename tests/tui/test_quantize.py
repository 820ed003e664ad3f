"""`sterna quantize` as people and programs call it."""

import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from gguf_writing import write_gguf
from tiny_models import tiny_llama

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
