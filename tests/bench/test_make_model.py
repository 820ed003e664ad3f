"""Files made for benchmarks are valid: other readers agree on their tensors and tokens."""

import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest

from backend.gguf import open_gguf

ROOT = Path(__file__).parents[2]


def make(out, shape, type_name, *more):
    command = [sys.executable, "-m", "bench.make_model", shape, type_name, str(out), *more]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return out


@pytest.mark.parametrize(
    "type_name", ["F32", "F16", "BF16", "Q8_0", "Q4_0", "Q6_K", "TQ1_0", "TQ2_0"]
)
@pytest.mark.parametrize("shape", ["tiny", "tiny-llama"])
def test_every_tensor_has_the_wanted_spread(tmp_path, shape, type_name):
    reader = gguf.GGUFReader(make(tmp_path / "m.gguf", shape, type_name))
    assert len(reader.tensors) == (24 if shape == "tiny" else 21)
    for tensor in reader.tensors:
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float64)
        if values.ndim == 1:
            assert (values == 1).all()
            continue
        head = tensor.name in ("token_embd.weight", "output.weight")
        wanted = 0.02 if head else tensor.shape[0] ** -0.5
        floats = ("F16", "BF16")  # these have the nearest power of two
        tolerance = 0.42 if tensor.tensor_type.name in floats else 0.03
        assert values.std() == pytest.approx(wanted, rel=tolerance), tensor.name
        assert abs(values.mean()) < 0.05 * wanted


def test_i2_s_holds_ternary_codes_and_one_scale(tmp_path):
    with open_gguf(make(tmp_path / "m.gguf", "tiny", "I2_S")) as file:
        assert file.architecture == "bitnet-b1.58"
        data = np.array(file.data("blk.1.ffn_down.weight"))
    count = 768 * 256
    assert len(data) == count // 4 + 32
    codes = (data[: count // 4, None] >> np.array([6, 4, 2, 0])) & 3
    assert set(np.unique(codes)) == {0, 1, 2}
    assert data[count // 4 :].view(np.float32)[0] == pytest.approx(768**-0.5 * 1.5**0.5, rel=1e-3)


def test_the_vocabulary_is_whole(tmp_path):
    with open_gguf(make(tmp_path / "m.gguf", "tiny", "TQ2_0")) as file:
        tokens = file.raw_strings("tokenizer.ggml.tokens")
        assert len(tokens) == len(set(tokens)) == 512
        assert tokens[file.integer("tokenizer.ggml.eos_token_id")] == b"<|end_of_text|>"
        assert len(file.integers("tokenizer.ggml.token_type")) == 512


def test_layers_and_seed_can_be_chosen(tmp_path):
    first = make(tmp_path / "a.gguf", "tiny", "TQ2_0", "--layers", "1")
    again = make(tmp_path / "b.gguf", "tiny", "TQ2_0", "--layers", "1")
    other = make(tmp_path / "c.gguf", "tiny", "TQ2_0", "--layers", "1", "--seed", "2")
    assert first.read_bytes() == again.read_bytes() != other.read_bytes()
    assert len(gguf.GGUFReader(first).tensors) == 13
