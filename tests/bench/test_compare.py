"""`python -m bench` runs engines in turn, divides rightly, and says in one line what went wrong."""

import json
import stat
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def bench(*arguments):
    command = [sys.executable, "-m", "bench", *map(str, arguments)]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A tiny BitNet from the generator."""
    path = tmp_path_factory.mktemp("model") / "tiny.gguf"
    command = [sys.executable, "-m", "bench.make_model", "tiny", "TQ2_0", str(path)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    return path


@pytest.fixture
def peer(tmp_path):
    """A program that answers like llama-bench, 100 tokens/s for prompts and 50 for answers."""

    def make(body=None):
        path = tmp_path / "llama-bench"
        rows = [
            {"n_gen": 0, "avg_ts": 100.0, "model_type": "fake", "build_commit": "abc"},
            {"n_gen": 4, "avg_ts": 50.0, "model_type": "fake", "build_commit": "abc"},
        ]
        path.write_text(f"#!{sys.executable}\n{body or f'print({json.dumps(rows)!r})'}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
        return path

    return make


def test_ratios_are_ours_over_the_peers(model, peer):
    size = ["-p", 16, "-n", 4, "-t", "1,2", "-r", 2]
    done = bench(model, *size, "--json", "--peer", f"it={peer()} --flag")
    assert done.returncode == 0, done.stderr
    groups = json.loads(done.stdout)
    assert [group[0]["work"]["threads"] for group in groups] == [1, 2]
    for ours, theirs in groups:
        assert ours["engine"] == "Sterna"
        assert theirs["engine"] == "it"
        assert [s["decode"] for s in theirs["samples"]] == [50.0, 50.0]
        assert all(s["prefill"] > 0 and s["decode"] > 0 for s in ours["samples"])
        assert all(s["bandwidth"] > 1e8 for s in ours["samples"])
    turns = [line for line in done.stderr.splitlines() if line.startswith("round")]
    assert [line.split(": ")[1] for line in turns] == ["Sterna", "it"] * 4


def test_the_table_is_markdown(model, peer):
    done = bench(model, "-p", 16, "-n", 4, "-t", 1, "-r", 1, "--peer", f"it={peer()}")
    assert done.returncode == 0, done.stderr
    table = [line.split("|")[1:-1] for line in done.stdout.splitlines() if line.startswith("|")]
    head, rule, ours, theirs = ([cell.strip() for cell in row] for row in table)
    assert set(rule) == {"---"}
    assert theirs[head.index("prefill of 16, tok/s")] == "**100.0**"
    rate = float(ours[head.index("decode of 4, tok/s")].strip("*"))
    ratio = float(theirs[head.index("decode of 4, tok/s") + 1].strip("*"))
    assert ratio == pytest.approx(rate / 50, rel=0.05, abs=0.006)
    assert "read bandwidth" in done.stdout


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import sys; sys.exit('cannot load this')", "it: cannot load this"),
        ("print('not json')", "it: its output is no JSON"),
        ("print('[{}]')", "it: its output is not that of llama-bench"),
    ],
)
def test_a_peer_that_fails_is_named(model, peer, body, said):
    done = bench(model, "-p", 4, "-n", 1, "-t", 1, "-r", 1, "--peer", f"it={peer(body)}")
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == f"bench: {said}"


def test_bad_arguments_are_one_line(model, tmp_path):
    for arguments, said in [
        ((model, "--peer", "it=/no/such/program"), "it: no program at"),
        ((model, "--peer", "nonsense"), "write name=PATH_TO_llama-bench"),
        ((tmp_path / "none.gguf",), "none.gguf"),
    ]:
        done = bench(*arguments)
        assert done.returncode == 1
        assert said in done.stderr
        assert "Traceback" not in done.stderr


def test_a_model_is_made_when_none_is_given(tmp_path):
    size = ["-p", 4, "-n", 2, "-t", 1, "-r", 1]
    done = bench("--shape", "tiny", "--type", "I2_S", "--folder", tmp_path, *size)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "tiny-I2_S.gguf").exists()
