"""`sterna train`, `sterna runs`, `sterna export` as people and programs call them."""

import json
import os
import signal
import subprocess
import sys

import pytest
from ggufs import tiny_bitnet, tiny_llama
from loopback_hub import Repo
from running import write_rows
from waiting import wait_until_now

from backend import paths
from tui.cli import main


@pytest.fixture
def files(home, tmp_path):
    """A tiny base and data."""
    tiny_llama(tmp_path / "tiny.gguf", hidden=32, ffn=48)
    write_rows(tmp_path / "notes.jsonl")
    return tmp_path


def sterna(capsys, *arguments):
    """Run a verb; return (status, what it wrote, what it noted)."""
    status = main([str(a) for a in arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def as_json(capsys, *arguments):
    status, out, _ = sterna(capsys, *arguments, "--json")
    return status, json.loads(out.splitlines()[-1])


LLAMA_7B = {
    "model_type": "llama", "hidden_size": 4096, "num_hidden_layers": 32, "intermediate_size": 11008,
    "num_attention_heads": 32, "vocab_size": 32000,
}  # fmt: skip


def test_an_estimate_needs_no_weights_and_no_data(capsys, tmp_path, home):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B))
    status, said = as_json(
        capsys, "train", "--estimate", "--base", tmp_path, "--technique", "lora", "--rank", "64"
    )
    assert status == 0
    assert said["trainable_parameters"] == 159_907_840
    assert said["adapter_bytes"] == 4 * 159_907_840
    assert said["peak_memory"] > 4 * 6_738_415_616
    assert said["seconds"] > 0
    assert {"largest_batch", "fits"} <= said.keys()
    assert said["data_assumed"]
    for technique, count in (("vera", 1_417_216), ("sft", 6_738_415_616)):
        _, other = as_json(
            capsys,
            "train",
            "--estimate",
            "--base",
            tmp_path,
            "--technique",
            technique,
            "--rank",
            "256",
        )
        assert other["trainable_parameters"] == count
    _, qv = as_json(
        capsys, "train", "--estimate", "--base", tmp_path / "config.json", "--rank", "8",
        "--targets", "q_proj,v_proj",
    )  # fmt: skip
    assert qv["trainable_parameters"] == 4_194_304


def test_an_estimate_of_a_file_with_its_data(capsys, files):
    status, out, _ = sterna(
        capsys,
        "train",
        "--estimate",
        "--base",
        files / "tiny.gguf",
        "--data",
        files / "notes.jsonl",
    )
    assert status == 0
    assert "trainable" in out
    assert "peak memory" in out
    assert "no data given" not in out


def test_estimates_load_no_torch(tmp_path, home):
    (tmp_path / "config.json").write_text(json.dumps(LLAMA_7B))
    code = (
        "import sys; from tui.cli import main\n"
        f"main(['train', '--estimate', '--base', {str(tmp_path)!r}])\n"
        "names = {m.partition('.')[0] for m in sys.modules}\n"
        "sys.exit(bool(names & {'torch', 'transformers', 'peft', 'trl', 'datasets', 'textual'}))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_preview_shows_what_is_learned(capsys, files):
    args = "train", "--preview", "1", "--base", files / "tiny.gguf", "--data", files / "notes.jsonl"
    status, out, _ = sterna(capsys, *args)
    assert status == 0
    assert "24 rows, prompts and completions" in out
    assert "⟦red<|im_end|>⟧" in out or "⟦green<|im_end|>⟧" in out or "⟦blue<|im_end|>⟧" in out
    _, said = as_json(capsys, *args)
    assert said["samples"][0]["pieces"][-1]["learned"]


WRONG = [
    (("train",), "bad_argument", "a base"),
    (("train", "--base", "tiny.gguf"), "bad_argument", "needs data"),
    (("train", "--base", "no/such-model", "--data", "notes.jsonl", "--estimate"), None, ""),
    (("train", "--base", "tiny.gguf", "--data", "notes.jsonl", "--rank", "-3"), "bad_recipe", "rank"),
    (("train", "--base", "tiny.gguf", "--data", "notes.jsonl", "--technique", "magic"), "bad_argument", "magic"),
    (
        ("train", "--base", "tiny.gguf", "--data", "gone.jsonl", "--preview"), "no_data", "gone.jsonl",
    ),
    (
        ("train", "--base", "tiny.gguf", "--data", "notes.jsonl", "--technique", "delta-lora", "--dropout", "0.1"),
        "bad_recipe", "dropout",
    ),
    (("train", "gone.toml"), "bad_recipe", "gone.toml"),
    (("train", "--resume", "gone"), "not_found", "gone"),
    (("runs", "gone"), "not_found", "gone"),
    (("runs", "--stop"), "bad_argument", "Which run"),
    (("export", "gone"), "not_found", "gone"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    WRONG,
    ids=lambda v: " ".join(v) if isinstance(v, tuple) else None,
)
def test_wrong_arguments_are_told_with_a_way_out(
    capsys, files, monkeypatch, arguments, kind, words
):
    monkeypatch.chdir(files)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    status, said = as_json(capsys, *arguments)
    assert status == 1
    assert kind is None or said["error"]["kind"] == kind
    assert words in said["error"]["message"]
    assert not any(paths.runs_dir().glob("*"))


def test_train_watch_export_and_chat(capsys, files):
    """The whole way: a run, its list, its adapter, and the adapter beside its base."""
    common = "--base", files / "tiny.gguf", "--data", files / "notes.jsonl", "--device", "cpu"
    status, out, _ = sterna(
        capsys, "train", *common, "--steps", "6", "--batch", "2", "--name", "mine", "--json",
        "--threads", "1",
    )  # fmt: skip
    assert status == 0
    events = [json.loads(line) for line in out.splitlines()]
    assert [e["event"] for e in events].count("step") == 6
    assert events[-1]["event"] == "done"
    steps = [e for e in events if e["event"] == "step"]
    assert {
        "step",
        "total",
        "loss",
        "lr",
        "grad_norm",
        "tokens_per_second",
        "eta_s",
        "rss",
    } <= steps[0].keys()

    _, said = as_json(capsys, "runs")
    assert [r["name"] for r in said["runs"]] == ["mine"]
    assert said["runs"][0]["state"] == "done"
    assert said["runs"][0]["adapter"] == events[-1]["adapter"]
    _, out, _ = sterna(capsys, "runs", "mine")
    assert "6 of 6" in out

    _, made = as_json(capsys, "export", "mine", files / "mine.gguf")
    assert made["path"] == str(files / "mine.gguf")
    assert made["bytes"] == (files / "mine.gguf").stat().st_size
    _, merged = as_json(capsys, "export", "mine", "--as", "merged-gguf")
    assert merged["form"] == "merged-gguf"
    _, text, _ = sterna(capsys, "run", merged["path"], "-p", "item 0", "-n", "3", "--temp", "0")
    assert text

    # train longer, from where it ended
    status, out, _ = sterna(capsys, "train", "--resume", "mine", "--steps", "8", "--json")
    assert status == 0
    more = [json.loads(line) for line in out.splitlines()]
    assert [e["step"] for e in more if e["event"] == "step"] == [7, 8]

    status, said = as_json(capsys, "runs", "mine", "--delete")
    assert said == {"run": "mine", "deleted": True}
    assert as_json(capsys, "runs")[1] == {"runs": []}


def test_ctrl_c_saves_and_stops_and_the_run_goes_on_later(files):
    code = "import sys; from tui.cli import main; sys.exit(main(sys.argv[1:]))"
    arguments = ["train", "--base", files / "tiny.gguf", "--data", files / "notes.jsonl",
                 "--steps", "4000", "--name", "long", "--threads", "1", "--json"]  # fmt: skip
    process = subprocess.Popen(
        [sys.executable, "-c", code, *map(str, arguments)], stdout=subprocess.PIPE, text=True
    )
    for line in process.stdout:
        if json.loads(line)["event"] == "step":
            break
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert json.loads(out.splitlines()[-1])["event"] == "stopped"
    checkpoints = list((paths.runs_dir() / "long/checkpoints").glob("checkpoint-*"))
    assert checkpoints


def test_a_detached_run_is_found_again_and_stopped(capsys, files):
    status, said = as_json(
        capsys, "train", "--base", files / "tiny.gguf", "--data", files / "notes.jsonl",
        "--steps", "4000", "--detach", "--threads", "1",
    )  # fmt: skip
    assert status == 0
    name = said["run"]
    assert os.getsid(said["pid"]) != os.getsid(0)  # a session of its own: it outlives the terminal

    def state():
        return as_json(capsys, "runs", name)[1]["state"]

    wait_until_now(lambda: state() == "training", seconds=60, what="training")
    assert as_json(capsys, "runs", name, "--pause")[0] == 0
    wait_until_now(lambda: state() == "paused", seconds=30, what="the pause")
    as_json(capsys, "runs", name, "--stop")
    wait_until_now(lambda: state() == "stopped", seconds=30, what="the stop")
    status, said = as_json(capsys, "runs", name, "--stop")
    assert said["error"]["kind"] == "not_running"


def test_a_ternary_merge_is_refused(capsys, files):
    tiny_bitnet(files / "ternary.gguf")
    sterna(capsys, "train", "--base", files / "ternary.gguf", "--data", files / "notes.jsonl",
           "--steps", "1", "--name", "t", "--threads", "1")  # fmt: skip
    _, said = as_json(capsys, "export", "t", "--as", "merged-gguf")
    assert said["error"]["kind"] == "ternary_merge"
    assert as_json(capsys, "export", "t")[0] == 0


def test_an_estimate_of_a_file_on_the_hub_reads_its_header_alone(capsys, files, hub):
    tiny_llama(files / "tern-F32.gguf", hidden=256, ffn=768)
    data = (files / "tern-F32.gguf").read_bytes()
    hub.add(Repo("own/Tern-GGUF", {"tern-F32.gguf": data}))
    _, here = as_json(capsys, "train", "--estimate", "--base", files / "tern-F32.gguf")
    status, there = as_json(capsys, "train", "--estimate", "--base", "own/Tern-GGUF:F32")
    assert status == 0
    for key in ("trainable_parameters", "peak_memory", "adapter_bytes", "parts"):
        assert there[key] == here[key]
    assert sum(r.sent for r in hub.requests if r.host == "cdn") < len(data) / 2


def test_an_estimate_of_a_repository_reads_its_config_alone(capsys, home, hub):
    weights = bytes(1 << 20)
    config = json.dumps(LLAMA_7B).encode()
    hub.add(Repo("own/Seven", {"config.json": config, "model.safetensors": weights}))
    status, said = as_json(capsys, "train", "--estimate", "--base", "own/Seven", "--rank", "64")
    assert status == 0
    assert said["trainable_parameters"] == 159_907_840
    assert sum(r.sent for r in hub.requests) < 100_000
    hub.add(Repo("own/Empty", {"model.safetensors": weights, "config.json": b"[]"}))
    status, said = as_json(capsys, "train", "--estimate", "--base", "own/Empty")
    assert status == 1
    assert said["error"]["kind"] == "not_a_model"
