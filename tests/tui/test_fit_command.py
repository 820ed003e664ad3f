"""`sterna fit`: the contract, another machine, and wrong words."""

import json

import pytest
from ggufs import tiny_bitnet, tiny_llama
from loopback_hub import Repo

from tui.cli import main

CANDIDATE = {
    "quant", "weights", "kv", "compute", "total", "fits", "verdict", "quality", "tokens_per_second",
    "max_context",
}  # fmt: skip


def fit(capsys, *arguments):
    status = main(["fit", *arguments, "--no-measure", "--json"])
    out = capsys.readouterr().out
    return status, json.loads(out)


def test_a_bare_number_of_parameters(capsys):
    status, said = fit(capsys, "--params", "8B", "--ram", "12GB")
    assert status == 0
    assert said["recommended"] == "Q5_K_M"
    assert said["reasons"]
    assert said["machine"]["assumed"] == ["ram"]
    assert all(set(c) >= CANDIDATE for c in said["candidates"])
    for c in said["candidates"]:
        assert c["total"] == c["weights"] + c["kv"] + c["compute"] - c["on_disk"]
        assert c["fits"] == (c["total"] <= 12 * 10**9)
        assert isinstance(c["max_context"], int)


def test_more_context_and_a_smaller_cache(capsys):
    of = {}
    for name, more in {
        "usual": [], "long": ["--context", "32768"], "small": ["--context", "32768", "--kv", "q8_0"],
    }.items():  # fmt: skip
        said = fit(capsys, "--params", "8B", "--ram", "64GB", *more)[1]
        of[name] = {c["quant"]: c["kv"] for c in said["candidates"]}
    for quant, kv in of["long"].items():
        assert of["usual"][quant] < of["small"][quant] < kv


def test_a_machine_with_a_gpu(capsys):
    said = fit(capsys, "--params", "8B", "--ram", "32GB", "--vram", "8GiB")[1]
    assert said["machine"]["vram"] == 8 << 30
    by_name = {c["quant"]: c["gpu"] for c in said["candidates"]}
    assert by_name["Q4_K_M"]["whole"]
    assert not by_name["Q8_0"]["whole"]
    assert fit(capsys, "--params", "8B", "--vram", "0")[1]["candidates"][0]["gpu"] is None


def test_nothing_fits(capsys):
    status, said = fit(capsys, "--params", "70B", "--ram", "8GB")
    assert status == 0
    assert said["recommended"] is None
    assert any("more than the 8.00 GB" in line for line in said["reasons"])
    assert all(not c["fits"] for c in said["candidates"])
    assert any(c["verdict"].startswith("too big by") for c in said["candidates"])


def test_a_file_here_is_recommended_though_others_would_be_better(capsys, tmp_path):
    path = tiny_llama(tmp_path / "m.gguf", tensor_type="Q4_0", hidden=256, ffn=512).path
    said = fit(capsys, str(path))[1]
    assert said["recommended"] == "Q4_0"
    assert said["file"] == str(path)
    assert any("not the best for this machine" in line for line in said["reasons"])
    here = [c["quant"] for c in said["candidates"] if c["file"]]
    assert here == ["Q4_0"]


def test_a_ternary_file_is_as_it_was_trained(capsys, tmp_path):
    path = tiny_bitnet(tmp_path / "m.gguf").path
    said = fit(capsys, str(path))[1]
    assert said["recommended"] == "I2_S"
    assert any("trained with ternary weights" in line for line in said["reasons"])


def test_text_for_people(capsys):
    assert main(["fit", "--params", "8B", "--ram", "12GB", "--no-measure"]) == 0
    out = capsys.readouterr().out
    assert "Take Q5_K_M." in out
    assert "SIMULATED" in out
    assert "▸ ✓" in out
    assert "K: bits are spent unevenly" in out
    assert main(["fit", "--params", "8B", "--ram", "2GB", "--no-measure"]) == 0
    assert "Nothing fits." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["x.gguf", "--params", "8B"], ["--params", "many"], ["--params", "1"], ["--params", "9" * 15],
        ["--params", "8B", "--ram", "much"], ["--params", "8B", "--kv", "q3"], ["--params", "8B", "--context", "0"],
        ["--params", "8B", "--prefer", "luck"], ["--params", "8B", "--vram", "-1"],
    ],
)  # fmt: skip
def test_wrong_words(capsys, arguments):
    status, said = fit(capsys, *arguments)
    assert status == 1
    assert said["error"]["kind"] == "bad_argument"
    assert said["error"]["message"]


def test_what_is_no_model(capsys, tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"GGUF")
    assert fit(capsys, str(path))[1]["error"]["kind"] == "truncated"


def published(hub, tmp_path, *types):
    """Put a model on the Hub in several types, with a projector and an incomplete split beside it."""
    files = {"mmproj-F16.gguf": b"x", "t-Q6_K-00001-of-00002.gguf": b"x"}
    for quant in types:
        path = tiny_llama(tmp_path / f"t-{quant}.gguf", tensor_type=quant, hidden=256, ffn=512).path
        files[path.name] = path.read_bytes()
    return hub.add(Repo("own/Tern-GGUF", files))


def test_a_repository_recommends_a_file_that_it_has(capsys, hub, tmp_path):
    repo = published(hub, tmp_path, "F16", "Q8_0", "Q4_0")
    status, said = fit(capsys, "own/Tern-GGUF")
    assert status == 0
    assert said["recommended"] == "Q8_0"
    assert said["file"] == "t-Q8_0.gguf"
    assert {c["quant"]: c["bytes"] for c in said["candidates"]} == {
        name: len(repo.files[f"t-{name}.gguf"]) for name in ("F16", "Q8_0", "Q4_0")
    }
    assert said["model"]["arch"] == "llama"


def test_a_quant_of_a_repository(capsys, hub, tmp_path):
    published(hub, tmp_path, "Q8_0", "Q4_0")
    said = fit(capsys, "own/Tern-GGUF:Q4_0")[1]
    assert [c["quant"] for c in said["candidates"]] == ["Q4_0"]
    assert fit(capsys, "own/Tern-GGUF:Q2_K")[1]["error"]["kind"] == "not_found"
    assert fit(capsys, "own/None")[1]["error"]["kind"] == "not_found"


def test_pull_takes_what_fit_recommends(capsys, hub, tmp_path):
    published(hub, tmp_path, "Q8_0", "Q4_0")
    assert main(["pull", "own/Tern-GGUF", "--json"]) == 0
    assert "t-Q8_0.gguf" in capsys.readouterr().out


def test_a_repository_without_a_gguf(capsys, hub):
    repo = Repo("own/Plain", {"config.json": b"{}", "model.safetensors": b"x"})
    hub.add(repo)
    assert fit(capsys, "own/Plain")[1]["error"]["kind"] == "not_found"
