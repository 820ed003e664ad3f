"""The command line's contract: results, errors, exit codes, JSON."""

import io
import json
import signal
import subprocess
import sys

import numpy as np
import pytest
from ggufs import tiny_llama
from tiny_adapters import write_adapter

from backend import paths
from backend.gguf import open_gguf
from tui.cli import main


@pytest.fixture
def model(tmp_path):
    path = tmp_path / "tern [b] \x1b[31mred.gguf"
    tiny_llama(path)
    return path


def result(capsys, *arguments):
    status = main([*map(str, arguments), "--json"])
    return status, json.loads(capsys.readouterr().out)


def test_errors_are_one_line_with_a_hint(capsys):
    assert main(["show", "no-such-model"]) == 1
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == 1
    assert "sterna ls" in captured.err


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (["show", "no-such-model"], "not_found"),
        (["run", "no-such-model", "-p", "x"], "not_found"),
        (["show"], "bad_argument"),
        (["bench", "x", "--threads", "many"], "bad_argument"),
        (["bogus"], "bad_argument"),
        (["ls", "--nonsense"], "bad_argument"),
    ],
)
def test_errors_in_json(capsys, arguments, kind):
    status, data = result(capsys, *arguments)
    assert status != 0
    assert data["error"]["kind"] == kind
    assert set(data["error"]) == {"kind", "message", "hint"}
    assert data["error"]["message"]


def test_a_near_verb_is_offered(capsys):
    main(["benhc"])
    assert "sterna bench" in capsys.readouterr().err


def test_an_unforeseen_error_is_logged_and_not_shown(capsys, monkeypatch):
    def explode(_):
        raise ZeroDivisionError("secret \x1b[31m detail")

    monkeypatch.setattr("tui.commands.ls.survey", lambda: explode(None))
    assert main(["ls"]) == 1
    err = capsys.readouterr().err
    assert "Traceback" not in err
    assert "\x1b" not in err
    assert "Traceback" in (paths.log_dir() / "cli.log").read_text()


def test_ls_lists_by_the_contract(capsys, model):
    paths.models_dir().mkdir(parents=True)
    (paths.models_dir() / "mine.gguf").write_bytes(model.read_bytes())
    (paths.models_dir() / "broken.gguf").write_bytes(b"GGUF but no more")
    status, data = result(capsys, "ls")
    assert status == 0
    rows = {m["name"]: m for m in data["models"] if m["store"] == "sterna"}
    assert set(rows) == {"mine", "broken"}
    keys = {
        "name",
        "path",
        "store",
        "arch",
        "params",
        "quant",
        "bytes",
        "context",
        "last_used",
        "sha256",
    }
    assert keys <= set(rows["mine"])
    assert rows["mine"]["arch"] == "llama"
    assert rows["mine"]["bytes"] == model.stat().st_size
    assert rows["broken"]["error"]
    assert main(["ls", "mine"]) == 0
    assert "1 models" in capsys.readouterr().out


def test_show_by_the_contract_and_clean(capsys, model):
    status, data = result(capsys, "show", model)
    assert status == 0
    assert {
        "arch",
        "params",
        "context",
        "quant",
        "bytes",
        "tensors",
        "chat_template",
        "license",
    } <= set(data)
    assert {"name", "type", "shape", "bytes"} <= set(data["tensors"][0])
    assert main(["show", str(model), "--tensors"]) == 0
    assert "\x1b" not in capsys.readouterr().out


def test_run_once_by_the_contract(capsys, model):
    first = result(capsys, "run", model, "-p", "hello", "-n", 5, "--seed", 3)[1]
    keys = {"text", "tokens", "prompt_tokens", "completion_tokens", "finish_reason", "timings"}
    assert keys <= set(first)
    assert {"load_s", "prompt_per_second", "decode_per_second"} == set(first["timings"])
    assert len(first["tokens"]) == first["completion_tokens"] <= 5
    assert (
        result(capsys, "run", model, "-p", "hello", "-n", 5, "--seed", 3)[1]["tokens"]
        == first["tokens"]
    )


def test_an_empty_raw_prompt_starts_from_bos(capsys, model):
    data = result(capsys, "run", model, "--raw", "-p", "", "-n", 2)[1]
    assert data["prompt_tokens"] == 1


def test_adapters_beside_the_model(capsys, model, tmp_path):
    rng = np.random.default_rng(1)
    halves = {
        "blk.0.ffn_down.weight.lora_a": rng.standard_normal((2, 128)).astype(np.float32),
        "blk.0.ffn_down.weight.lora_b": 9 * rng.standard_normal((64, 2)).astype(np.float32),
    }
    file = write_adapter(tmp_path / "a.gguf", "llama", halves, 2)
    ask = ("run", model, "--raw", "-p", "abc", "-n", 8, "--temp", 0)

    def tokens(*more):
        status, data = result(capsys, *ask, *more)
        assert status == 0
        return data["tokens"]

    plain = tokens()
    assert tokens("--adapter", file) != plain
    assert tokens("--adapter", f"{file}:1e-9", "--adapter", f"{file}:0") == plain
    other = write_adapter(tmp_path / "other.gguf", "qwen2", halves, 2)
    status, data = result(capsys, *ask, "--adapter", other)
    assert status == 1
    assert data["error"]["kind"] == "wrong_adapter"


def test_a_chat_changes_its_adapters_as_it_goes(capsys, monkeypatch, model, tmp_path):
    rng = np.random.default_rng(0)
    with open_gguf(model) as file:
        rows = file.tensors["output.weight"].shape[1]
        width = file.tensors["output.weight"].shape[0]
    halves = {
        "output.weight.lora_a": rng.standard_normal((2, width)).astype(np.float32),
        "output.weight.lora_b": rng.standard_normal((rows, 2)).astype(np.float32),
    }
    file = write_adapter(tmp_path / "an odd name.gguf", "llama", halves, 2)
    said = ["abc", f"/adapter '{file}':0.5 '{file}'", "/new", "abc", "/adapter gone.gguf", "/adapter 'un",
            "/adapter none", "/new", "abc", "/adapter"]  # fmt: skip
    monkeypatch.setattr("sys.stdin", io.StringIO("\n".join(said) + "\n"))
    assert main(["run", str(model), "-n", "8", "--temp", "0"]) == 0
    captured = capsys.readouterr()
    first, adapted, again = captured.out.split("\n")[:3]
    assert first == again != adapted
    told = [line for line in captured.err.splitlines() if line.startswith("adapters:")]
    both = "adapters: an odd name.gguf at 0.5, an odd name.gguf at 1"
    assert told == [both, both, both, "adapters: none", "adapters: none"]
    assert "gone.gguf" in captured.err


def test_bench_by_the_contract(capsys, model):
    status, data = result(capsys, "bench", model, "-p", 16, "-n", 4, "-r", 2, "-t", 1)
    assert status == 0
    assert len(data["prompt_per_second"]) == len(data["decode_per_second"]) == 2
    assert data["limit_per_second"] > 0
    assert data["fraction_of_limit"] > 0
    assert data["peak_rss"] > 1_000_000
    assert "joules_per_token" in data


def test_machine_by_the_contract(capsys):
    status, data = result(capsys, "machine", "--no-measure")
    assert status == 0
    assert {"name", "cores", "isa"} <= set(data["cpu"])
    assert 0 < data["ram"]["available"] <= data["ram"]["total"]
    assert isinstance(data["gpus"], list)
    assert "bandwidth" in data


def test_doctor_says_nothing_private(capsys, home):
    status, data = result(capsys, "doctor")
    assert status == 0
    assert str(home) not in json.dumps(data).replace(str(home / "sterna"), "")


@pytest.mark.parametrize("bad", ["[chat]\ntemprature = 1", "[chat]\ntop_k = 'x'", "not toml ["])
def test_bad_settings_name_the_file(capsys, bad):
    paths.settings_file().parent.mkdir(parents=True, exist_ok=True)
    paths.settings_file().write_text(bad)
    status, data = result(capsys, "ls")
    assert status == 1
    assert data["error"]["kind"] == "bad_settings"
    assert "settings.toml" in data["error"]["message"]


def test_files_that_cannot_run_say_why(capsys, tmp_path, model):
    cases = {
        "empty.gguf": (b"", "truncated"),
        "text.gguf": (b"hello, I am no model", "not_gguf"),
        "short.gguf": (model.read_bytes()[:-1000], "truncated"),
    }
    for name, (content, kind) in cases.items():
        (tmp_path / name).write_bytes(content)
        for verb in (["run", "-p", "x"], ["bench"], ["show"]):
            status, data = result(capsys, verb[0], tmp_path / name, *verb[1:])
            assert (status, data["error"]["kind"]) == (1, kind), (name, verb)
    _, data = result(capsys, "run", tmp_path, "-p", "x")
    assert data["error"]["kind"] == "not_gguf"


def test_an_unknown_architecture_is_named(capsys, tmp_path):
    path = tmp_path / "x.gguf"
    tiny_llama(path, metadata={"general.architecture": "rwkv7"})
    _, data = result(capsys, "run", path, "-p", "x")
    assert data["error"]["kind"] == "unsupported_arch"
    assert "rwkv7" in data["error"]["message"]


def test_a_context_that_needs_more_memory_than_there_is(capsys, tmp_path):
    path = tmp_path / "x.gguf"
    tiny_llama(path, metadata={"llama.context_length": 1 << 20})
    huge = result(capsys, "run", path, "-p", "x", "-n", 1, "--context", 1 << 20, "--kv", "f32")
    assert huge[0] in (0, 1)  # the tiny model's million tokens may fit
    status, data = result(capsys, "run", path, "-p", "x", "--context", (1 << 20) + 1)
    assert (status, data["error"]["kind"]) == (1, "bad_argument")


def test_ctrl_c_stops_the_answer_and_ends_quietly(model):
    child = subprocess.Popen(
        [sys.executable, "-m", "tui.cli", "run", str(model), "-p", "x", "--temp", "0", "--raw"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert child.stdout.read(1)
    child.send_signal(signal.SIGINT)
    _, err = child.communicate(timeout=60)
    assert "Traceback" not in err


def test_a_closed_pipe_is_no_error(model):
    command = f"{sys.executable} -m tui.cli show '{model}' --tensors | head -n 1"
    done = subprocess.run(["/bin/sh", "-c", command], capture_output=True, text=True, check=False)
    assert done.stdout.startswith("name")
    assert not done.stderr
