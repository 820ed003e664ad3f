"""What others measured: sizes of weights, of caches and of work buffers."""

import csv

import pytest
from published_models import decoder, metadata

from backend.fit.cache import cache_bytes
from backend.fit.layers import read_layers
from backend.fit.model import quantised, read_model
from backend.fit.runtimes import compute_bytes, offload

pytestmark = pytest.mark.conformance
GEMMA_3_12B = {
    "layers": 48, "hidden": 3840, "ffn": 15360, "heads": 16, "kv_heads": 8, "vocab": 262208,
    "head_dim": 256, "tied": True,
}  # fmt: skip
# Configurations that the rows name but do not spell out.
QWEN_35_9B = {
    "block_count": 32, "embedding_length": 4096, "attention__head_count": 16,
    "attention__head_count_kv": 4, "attention__key_length": 256, "attention__value_length": 256,
    "ssm__conv_kernel": 4, "ssm__inner_size": 4096, "ssm__state_size": 128, "ssm__group_count": 16,
    "full_attention_interval": 4,
}  # fmt: skip
DEEPSEEK_R1 = {
    "block_count": 61, "embedding_length": 7168, "attention__head_count": 128,
    "attention__kv_lora_rank": 512, "rope__dimension_count": 64,
}  # fmt: skip
MLA = {
    "attention__head_count_kv": 1, "attention__key_length": 576, "attention__value_length": 512,
    "attention__key_length_mla": 192, "attention__value_length_mla": 128,
}  # fmt: skip
EVERY_HEAD = {
    "attention__head_count_kv": 128, "attention__key_length": 192, "attention__value_length": 128,
}  # fmt: skip
QWEN_72B = {
    "layers": 80, "hidden": 8192, "ffn": 29568, "heads": 64, "kv_heads": 8, "vocab": 152064,
}  # fmt: skip


def rows(conformance, kind, certainty="measured"):
    with (conformance / "fit" / "points.csv").open() as file:
        return [
            row
            for row in csv.DictReader(file)
            if row["kind"] == kind and row["measured_or_estimate"] == certainty
        ]


def number(row, column, default=0):
    return int(row[column]) if row[column] else default


def check(row, size):
    """A tolerance of nothing means equal."""
    expected, tolerance = int(row["expected_bytes"]), float(row["tolerance_pct"])
    assert abs(size - expected) <= expected * tolerance / 100, (
        row["id"],
        row["model"],
        size,
        expected,
    )


def header(row):
    if row["model"] == "Gemma-3-12B":
        return decoder("gemma3", **GEMMA_3_12B)
    if row["model"] == "Qwen2.5-72B-Instruct":
        return decoder("qwen2", **QWEN_72B)
    columns = {"layers": "n_layer", "hidden": "n_embd", "ffn": "n_ff", "heads": "n_head",
               "kv_heads": "n_head_kv", "vocab": "n_vocab", "head_dim": "key_len"}  # fmt: skip
    return decoder(row["arch"], **{name: int(row[column]) for name, column in columns.items()})


def layers_of(row):
    if "Qwen3.5" in row["model"]:
        return read_layers(metadata("qwen35", **QWEN_35_9B))
    if "DeepSeek-R1" in row["model"]:
        return read_layers(
            metadata(
                "deepseek2", **DEEPSEEK_R1, **(EVERY_HEAD if "no MLA" in row["model"] else MLA)
            )
        )
    windows = {}
    if row["swa_window"]:
        windows["attention__sliding_window"] = number(row, "swa_window")
    if row["swa_pattern"].isdecimal():
        windows["attention__sliding_window_pattern"] = number(row, "swa_pattern")
    return read_layers(
        metadata(
            row["arch"] or "llama", block_count=number(row, "n_layer"),
            embedding_length=number(row, "n_embd"), attention__head_count=number(row, "n_head"),
            attention__head_count_kv=number(row, "n_head_kv", number(row, "n_head")),
            attention__key_length=number(row, "key_len"),
            attention__value_length=number(row, "value_len"), **windows,
        )
    )  # fmt: skip


def test_weights(conformance):
    measured = rows(conformance, "weights")
    for row in measured:
        model = quantised(read_model(header(row)), row["quant"])
        size = model.file_bytes
        if "64 f16 tensors" in row["model"]:  # another program's mix: values in half precision
            values = [t for name, t in model.tensors.items() if "attn_v" in name]
            size += sum(2 * t.elements - t.nbytes for t in values)
        check(row, size)
    assert len(measured) >= 30


@pytest.mark.parametrize("certainty", ["measured", "derived"])
def test_caches(conformance, certainty):
    found = rows(conformance, "kv_cache", certainty)
    for row in found:
        block = number(row, "n_ubatch", 512)
        check(row, cache_bytes(layers_of(row), int(row["ctx"]), row["kv_type"], block=block))
    assert found


def test_work_buffers(conformance):
    measured = rows(conformance, "compute")
    for row in measured:
        vocab = number(row, "n_vocab", 32000)
        model = read_model(
            decoder(layers=1, hidden=number(row, "n_embd"), ffn=256, heads=number(row, "n_head"),
                    kv_heads=number(row, "n_head_kv"), vocab=vocab)
        )  # fmt: skip
        without = "flash_attn=0" in row["source"]
        check(
            row,
            compute_bytes(model, int(row["ctx"]), flash=not without, block=number(row, "n_ubatch")),
        )
    assert measured


def test_everything_in_the_computer(conformance):
    measured = rows(conformance, "total_host")
    for row in measured:
        assert "Qwen3.5" in row["model"]
        numbers = QWEN_35_9B | {"context_length": 262144}
        data = metadata("qwen35", **numbers)
        sizes = decoder(layers=1, hidden=4096, ffn=12288, heads=16, kv_heads=4, vocab=248320)
        model = read_model(type(sizes)(data, sizes.tensors))
        context = int(row["ctx"])
        weights = 5406 << 20  # of the row's note
        check(row, weights + cache_bytes(model.layers, context) + compute_bytes(model, context))
    assert measured


def test_everything_on_a_gpu_agrees_with_another_estimator(conformance):
    compared = 0
    for row in rows(conformance, "total_vram", "estimate"):
        if not row["n_ff"] and row["model"] != "Qwen2.5-72B-Instruct":
            continue
        source = header(row)
        model = quantised(read_model(source), row["quant"])
        there = offload(model, int(row["ctx"]), row["kv_type"], None, flash=False)
        assert there.whole
        check(row, there.vram)
        compared += 1
    assert compared >= 6
