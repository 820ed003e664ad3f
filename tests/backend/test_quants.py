"""The table of quant types against its sources, and the naming of files."""

import csv

import gguf
import pytest
from gguf import LlamaFileType

from backend.quants import QUANTS, TENSOR_TYPES, quant_name, tensor_bytes, tensor_type, type_name

FORK = "bitnet-b1.58"


def test_sizes_equal_the_packages():
    for type, (block, size) in gguf.GGML_QUANT_SIZES.items():
        ours = TENSOR_TYPES[type]
        assert (ours.name, ours.block_size, ours.type_size) == (type.name, block, size)
    extra = {t.name for id, t in TENSOR_TYPES.items() if id not in list(gguf.GGMLQuantizationType)}
    assert extra <= {"I2_S", "Q2_0"}  # newer than the package, or of the BitNet fork


@pytest.mark.conformance
def test_sizes_equal_the_published_table(conformance):
    with (conformance / "fit" / "ggml_types.csv").open() as file:
        for row in csv.DictReader(file):
            ours = TENSOR_TYPES[int(row["id"])]
            assert ours.name == row["name"]
            assert ours.block_size == int(row["block_size"])
            assert ours.type_size == int(row["type_size_bytes"])
            assert ours.bits_per_weight == float(row["bits_per_weight"])


@pytest.mark.conformance
def test_losses_equal_the_published_figures(conformance):
    with (conformance / "fit" / "quant_quality_llama3_8b.csv").open() as file:
        rows = {(row["quant"].upper(), row["imatrix"]): row for row in csv.DictReader(file)}
    compared = 0
    for quant in QUANTS.values():
        if quant.perplexity_percent:
            row = rows[quant.name, "WT 10m" if quant.imatrix else "None"]
            percent = 100 * (float(row["ppl_ratio_vs_f16"]) - 1)
            assert quant.perplexity_percent == pytest.approx(percent, abs=0.05, rel=0.001)
            assert quant.divergence == pytest.approx(float(row["kld"]), abs=1e-4)
            compared += 1
            bits = 8 * 2**30 * float(row["size_gib"]) / 8.0303e9
            if quant.name != "Q2_K_S":  # the source repeats Q2_K's size there
                assert quant.bits == pytest.approx(bits, rel=0.025)
    assert compared >= 25


def test_roles_are_those_that_people_know():
    assert {
        name: QUANTS[name].loss for name in ("Q4_K_S", "Q4_K_M", "Q5_K_S", "Q5_K_M", "Q8_0")
    } == {
        "Q4_K_S": "medium",
        "Q4_K_M": "very low",
        "Q5_K_S": "negligible",
        "Q5_K_M": "near zero",
        "Q8_0": "virtually none",
    }
    assert "6 bits" in QUANTS["Q4_K_M"].keeps
    assert QUANTS["Q8_0"].keeps == ""
    assert "balance" in QUANTS["Q4_K_M"].best_for
    assert "8B" in QUANTS["Q5_K_M"].best_for


@pytest.mark.parametrize(
    ("id", "architecture", "name", "known"),
    [
        (36, FORK, "I2_S", True),
        (36, "llama", "I2_S", True),
        (36, "bitnet", "I2_S", True),
        (37, FORK, "I8_S", False),
        (38, FORK, "TL1", False),
        (38, "llama", "TL1", False),
        (39, FORK, "TL2", False),
        (39, "bitnet-25", "TL2", False),
        (39, "gpt-oss", "MXFP4", True),
        (39, "bitnet", "MXFP4", True),
        (40, FORK, "NVFP4", True),
        (4, "llama", "Q4_2", False),
        (99, "llama", "type 99", False),
    ],
)
def test_ids_with_two_meanings(id, architecture, name, known):
    assert type_name(id, architecture) == name
    assert (tensor_type(id, architecture) is not None) is known


@pytest.mark.parametrize(
    ("name", "shape", "expected"),
    [
        ("F32", (), 4),
        ("F32", (3, 5), 60),
        ("Q4_0", (32, 2), 36),
        ("Q4_0", (31, 32), None),
        ("Q6_K", (256, 3), 630),
        ("Q6_K", (128, 4), None),
        ("I2_S", (128, 3), 3 * 32 + 32),
        ("I2_S", (64, 4), 64 + 32),
        ("I2_S", (64, 1), None),
        ("Q8_0", (0, 4), 0),
    ],
)
def test_bytes_of_tensors(name, shape, expected):
    kind = next(t for t in TENSOR_TYPES.values() if t.name == name)
    assert tensor_bytes(kind, shape) == expected


@pytest.mark.parametrize(
    ("tensors", "file_type", "expected"),
    [
        # the file's word, where the tensors agree
        ({"Q4_K": 80, "Q6_K": 20}, LlamaFileType.MOSTLY_Q4_K_M, "Q4_K_M"),
        ({"Q4_K": 80, "Q6_K": 20}, LlamaFileType.MOSTLY_Q4_K_S, "Q4_K_S"),
        ({"Q3_K": 70, "Q5_K": 30}, LlamaFileType.MOSTLY_Q3_K_L, "Q3_K_L"),
        ({"IQ3_S": 60, "Q4_K": 40}, LlamaFileType.MOSTLY_IQ3_M, "IQ3_M"),
        ({"IQ3_XXS": 60, "IQ3_S": 40}, LlamaFileType.MOSTLY_IQ3_XS, "IQ3_XS"),
        ({"IQ2_XS": 60, "Q4_K": 10}, LlamaFileType.MOSTLY_IQ2_S, "IQ2_S"),
        ({"MXFP4": 90, "Q8_0": 10}, LlamaFileType.MOSTLY_MXFP4_MOE, "MXFP4"),
        ({"Q5_0": 60, "Q4_K": 30, "Q6_K": 10}, LlamaFileType.MOSTLY_Q4_K_M, "Q4_K_M"),
        # rows that do not fill blocks of 256 excuse the substitute, nothing else does
        ({"Q5_0": 100}, LlamaFileType.MOSTLY_Q4_K_M, "Q5_0"),
        # a file that lies
        ({"Q8_0": 100}, LlamaFileType.MOSTLY_Q4_K_M, "Q8_0"),
        ({"F16": 100}, LlamaFileType.ALL_F32, "F16"),
        ({"I2_S": 100}, LlamaFileType.MOSTLY_Q1_0, "I2_S"),
        ({"TL1": 100}, LlamaFileType.MOSTLY_MXFP4_MOE, "TL1"),
        ({"TL2": 100}, LlamaFileType.MOSTLY_NVFP4, "TL2"),
        ({"Q8_0": 100}, 999, "Q8_0"),
        # a file that says nothing
        ({"Q4_K": 80, "Q6_K": 20}, None, "Q4_K_M"),
        ({"Q4_K": 95, "Q5_K": 5}, None, "Q4_K_S"),
        ({"Q5_K": 80, "Q6_K": 20}, None, "Q5_K_M"),
        ({"Q5_K": 80}, None, "Q5_K_S"),
        ({"Q6_K": 80}, None, "Q6_K"),
        ({"TQ2_0": 100}, None, "TQ2_0"),
        ({"type 99": 100}, None, "type 99"),
        ({"F32": 0}, None, "unknown"),
        ({}, 15, "unknown"),
    ],
)
def test_files_are_named_by_what_they_hold(tensors, file_type, expected):
    assert quant_name(tensors, file_type) == expected


def test_every_file_type_of_the_package_has_a_name_and_a_row():
    for type in LlamaFileType:
        if type is LlamaFileType.GUESSED:
            continue
        name = type.name.split("_", 1)[1].removesuffix("_MOE")
        assert name in QUANTS
        # the type that such a file mostly consists of carries the same stem
        stem = name.removesuffix("_S").removesuffix("_M").removesuffix("_L")
        candidates = [t.name for t in TENSOR_TYPES.values() if t.name[:3] == stem[:3]]
        assert name in {quant_name({t: 100}, type) for t in candidates}
