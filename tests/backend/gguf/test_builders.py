"""The builders that other tests trust: checked against the gguf package and the engine."""

import gguf
import numpy as np
import pytest
from ggufs import ternary_bytes, ternary_values, tiny_bitnet, tiny_llama
from ternary import TERNARY, absmean, pack

from backend.gguf import describe, open_gguf
from ext.quants import dequantise


@pytest.mark.parametrize("name", ["TQ1_0", "TQ2_0"])
def test_ternary_bytes_equal_the_packages(name):
    weights = np.random.default_rng(1).standard_normal((6, 512)).astype(np.float32)
    data, meant = ternary_bytes(weights, TERNARY[name])
    theirs = gguf.quants.quantize(meant, gguf.GGMLQuantizationType[name])
    assert data == theirs.tobytes()
    again = gguf.quants.dequantize(
        np.frombuffer(data, np.uint8).reshape(6, -1), gguf.GGMLQuantizationType[name]
    )
    np.testing.assert_array_equal(again, meant)


@pytest.mark.parametrize("type", TERNARY.values())
@pytest.mark.parametrize("rows", [1, 5])
def test_ternary_bytes_mean_what_the_engine_reads(type, rows):
    weights = np.random.default_rng(rows).standard_normal((rows, 768)).astype(np.float32)
    data, meant = ternary_bytes(weights, type)
    np.testing.assert_array_equal(ternary_values(data, meant.shape, type), meant)
    raw = np.frombuffer(data, np.uint8)
    np.testing.assert_array_equal(dequantise(type, raw, rows, 768), meant)


def test_i2_s_bytes_by_hand():
    codes = np.zeros((1, 128), np.uint8)
    codes[0, [0, 32, 64, 96]] = (2, 1, 0, 1)
    data = pack(codes, 1.5, TERNARY["I2_S"])
    assert data[0] == 0b10_01_00_01
    assert len(data) == 128 // 4 + 32
    assert np.frombuffer(data, "<f4", 1, 32)[0] == 1.5


def test_absmean_is_the_rule_of_bitnet():
    codes, scale = absmean(np.array([[0.9, -0.1, 0.4, -3.0]], np.float32))
    assert scale == np.float32(np.float16(1.1))
    assert codes.tolist() == [[2, 1, 1, 0]]


@pytest.mark.parametrize("type", ["F32", "F16", "BF16", "Q8_0", "Q4_0"])
def test_tiny_llama_holds_its_weights(tmp_path, type):
    model = tiny_llama(tmp_path / "m.gguf", tensor_type=type)
    with open_gguf(model.path) as file:
        assert describe(file).quant == type
        assert list(file.tensors) == list(model.weights)
        for name, weight in model.weights.items():
            info = file.tensors[name]
            assert info.shape == weight.shape[::-1]
            rows, cols = (1, *weight.shape)[-2:]
            np.testing.assert_array_equal(
                dequantise(info.type, file.data(name), rows, cols).reshape(weight.shape), weight
            )


@pytest.mark.parametrize("type", TERNARY)
def test_tiny_bitnet_holds_its_weights(tmp_path, type):
    model = tiny_bitnet(tmp_path / "m.gguf", tensor_type=type, vocab="spm", layers=1)
    with open_gguf(model.path) as file:
        assert describe(file).quant == type
        name = "blk.0.ffn_down.weight"
        np.testing.assert_array_equal(
            ternary_values(file.data(name), (256, 512), TERNARY[type]), model.weights[name]
        )
        assert "output.weight" not in file.tensors
