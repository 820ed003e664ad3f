"""`sterna show` on good, odd and hostile files."""

import json
import time

import numpy as np
import pytest
from gguf import GGUFValueType
from ggufs import tiny_bitnet, tiny_llama, write_gguf
from malformed import cases

from tui.cli import main

CASES = list(cases())
CONTRACT = {"arch", "params", "context", "quant", "bytes", "tensors", "chat_template", "license"}


def shown(capsys, path, *arguments):
    status = main(["show", str(path), *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_json_follows_the_contract(capsys, tmp_path):
    model = tiny_bitnet(tmp_path / "m.gguf", metadata={"general.license": "mit"})
    status, out, err = shown(capsys, model.path, "--json")
    assert (status, err) == (0, "")
    data = json.loads(out)
    assert set(data) >= CONTRACT
    assert (data["arch"], data["quant"], data["context"]) == ("bitnet-b1.58", "I2_S", 256)
    assert data["params"] == sum(w.size for w in model.weights.values())
    assert data["bytes"] == model.path.stat().st_size
    assert data["license"] == "mit"
    assert data["chat_template"] == model.metadata["tokenizer.chat_template"]
    assert [t["name"] for t in data["tensors"]] == list(model.weights)
    down = next(t for t in data["tensors"] if t["name"] == "blk.0.ffn_down.weight")
    assert down["type"] == "I2_S"
    assert down["shape"] == [512, 256]
    assert down["bytes"] == 512 * 256 // 4 + 32
    assert data["metadata"]["tokenizer.ggml.tokens"] == {"count": model.vocab}
    assert data["metadata"]["bitnet-b1.58.block_count"] == 2


def test_text_is_for_people(capsys, tmp_path):
    path = tiny_llama(tmp_path / "m.gguf", tensor_type="Q8_0").path
    _, out, _ = shown(capsys, path)
    assert "tiny llama" in out
    assert "loss virtually none" in out
    assert "4, 2 for keys and values, 16 wide" in out
    assert "256 tokens" in out
    assert "blk.0" not in out
    _, out, _ = shown(capsys, path, "--tensors", "--template", "--metadata")
    assert "blk.0.ffn_down.weight" in out
    assert "128×64" in out
    assert "<|im_start|>" in out
    assert "tokenizer.ggml.tokens" in out


def test_numbers_that_json_lacks(capsys, tmp_path):
    metadata = {
        "a": float("nan"),
        "b": float("inf"),
        "c": [1.0, float("nan")],
        "d": (GGUFValueType.BOOL, True),
    }
    path = write_gguf(tmp_path / "m.gguf", metadata, {"w": np.zeros(4, np.float32)})
    _, out, _ = shown(capsys, path, "--json")

    def refuse(word):
        raise AssertionError(word)

    told = json.loads(out, parse_constant=refuse)["metadata"]
    assert (told["a"], told["b"], told["c"], told["d"]) == (None, None, [1.0, None], True)


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.id} {c.name}")
def test_no_file_breaks_it_or_reaches_the_terminal(case, capsys, tmp_path):
    path = case.write(tmp_path)
    start = time.process_time()
    status, out, err = shown(capsys, path, "--tensors", "--template", "--metadata")
    assert status == (1 if case.kinds else 0)
    assert not set(map(chr, [*range(9), *range(11, 32), *range(127, 160)])) & set(out + err)
    assert "Traceback" not in err
    if case.kinds:
        assert err.count("\n") == 1
        assert not out
    assert len(out) < 100_000
    status, out, _ = shown(capsys, path, "--json")
    told = json.loads(out)
    if case.kinds:
        assert told["error"]["kind"] in case.kinds
    else:
        assert set(told) >= CONTRACT
    assert time.process_time() - start < 2


def test_what_is_no_model_is_said(capsys, tmp_path):
    _, out, _ = shown(capsys, write_gguf(tmp_path / "a.gguf", {"general.type": "adapter"}))
    assert "adapter" in out
    path = tmp_path / "empty.gguf"
    path.write_bytes(next(c for c in CASES if c.name == "nothing in it").files["m.gguf"])
    status, out, _ = shown(capsys, path)
    assert status == 0
    assert "no model" in out
