"""Quants by the names of files, parts joined, and which one is meant."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backend.errors import SternaError
from backend.hub.variants import RemoteFile, choose, group, quant_of


@pytest.mark.parametrize(
    ("path", "quant"),
    [
        ("Qwen3-4B-Q4_K_M.gguf", "Q4_K_M"),
        ("qwen2.5-7b-instruct-q4_k_m-00001-of-00002.gguf", "Q4_K_M"),
        ("model.Q5_K_S.gguf", "Q5_K_S"),
        ("gemma-3-12b-it-UD-Q4_K_XL.gguf", "UD-Q4_K_XL"),
        ("Llama-IQ4_XS.gguf", "IQ4_XS"),
        ("model-IQ2_XXS.gguf", "IQ2_XXS"),
        ("ggml-model-i2_s.gguf", "I2_S"),
        ("TriLM-TQ2_0.gguf", "TQ2_0"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("model-fp16.gguf", "F16"),
        ("model.f32.gguf", "F32"),
        ("BF16/model-00001-of-00003.gguf", "BF16"),
        ("Q8_0/DeepSeek-Q8_0-00001-of-00015.gguf", "Q8_0"),
        ("model-Q4_0_4_8.gguf", "Q4_0_4_8"),
        ("Q3_K_L.gguf", "Q3_K_L"),
        ("TQ1_0-model.gguf", "TQ1_0"),
        ("phi-4-mini.gguf", ""),
        ("eq8_0dd.gguf", ""),
        ("Llama-3.1-8B-F16-Q6_K.gguf", "Q6_K"),
    ],
)
def test_a_quant_is_read_from_a_name(path, quant):
    assert quant_of(path) == quant


def files(*paths, size=10):
    return [RemoteFile(path, size, "0" * 64) for path in paths]


def test_parts_are_joined_and_helpers_set_apart():
    found = group(
        files(
            "m-Q4_K_M.gguf",
            *(f"big/m-Q8_0-{i:05d}-of-00003.gguf" for i in (3, 1, 2)),
            "m-Q2_K-00001-of-00002.gguf",
            "mmproj-m-f16.gguf",
            "imatrix.gguf",
            "README.md",
        )
    )
    shown = [(v.quant, len(v.files), v.bytes, v.kind, v.missing) for v in found]
    assert shown == [
        ("Q8_0", 3, 30, "model", 0),
        ("Q4_K_M", 1, 10, "model", 0),
        ("Q2_K", 1, 10, "model", 1),
        ("F16", 1, 10, "mmproj", 0),
        ("", 1, 10, "imatrix", 0),
    ]
    assert [file.path[-8:-5] for file in found[0].files] == ["003"] * 3
    assert found[0].files[0].path.endswith("00001-of-00003.gguf")


def test_a_checkpoint_is_its_root_without_pickles_code_and_second_copies():
    (found,) = group(
        files(
            *("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
            *("model.safetensors.index.json", "tokenizer.json", "tokenizer.model", "LICENSE"),
            *("pytorch_model.bin", "modeling_x.py", "consolidated.safetensors", "original/a.safetensors"),
        )
    )  # fmt: skip
    assert found.kind == "checkpoint"
    assert {file.path for file in found.files} == {
        *("config.json", "model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors"),
        *("model.safetensors.index.json", "tokenizer.json", "tokenizer.model", "LICENSE"),
    }


OFFER = group(files("m-Q8_0.gguf", "m-Q4_K_M.gguf", "x/m-Q6_K.gguf", "m-UD-Q4_K_XL.gguf"))


@pytest.mark.parametrize(
    ("choice", "path"),
    [
        ("", "m-Q4_K_M.gguf"),
        ("q8_0", "m-Q8_0.gguf"),
        ("Q4_K_XL", "m-UD-Q4_K_XL.gguf"),
        ("ud-q4_k_xl", "m-UD-Q4_K_XL.gguf"),
        ("x/m-Q6_K.gguf", "x/m-Q6_K.gguf"),
        ("m-Q6_K.gguf", "x/m-Q6_K.gguf"),
        ("m-q6_k", "x/m-Q6_K.gguf"),
    ],
)
def test_a_choice_finds_its_files(choice, path):
    assert choose(OFFER, choice, "own/m").files[0].path == path


def test_a_judgement_of_this_machine_comes_before_the_usual():
    assert choose(OFFER, "", "own/m", lambda found: found[0]).quant == "Q8_0"
    assert choose(OFFER, "q6_k", "own/m", lambda found: found[0]).quant == "Q6_K"


@pytest.mark.parametrize(
    ("offer", "choice", "kind", "said"),
    [
        (OFFER, "Q5_K_M", "not_found", "Q8_0"),
        (group(files("a-Q4_0.gguf", "b-Q4_0.gguf")), "Q4_0", "ambiguous", "own/m:a-Q4_0.gguf"),
        (group(files("a-Q8_0-00001-of-00002.gguf")), "Q8_0", "incomplete_split", "another"),
        (group(files("README.md")), "", "not_found", "sterna search"),
    ],
)
def test_a_choice_that_cannot_be_had_says_what_can(offer, choice, kind, said):
    with pytest.raises(SternaError) as caught:
        choose(offer, choice, "own/m")
    assert caught.value.kind == kind
    assert said in caught.value.hint


@given(st.lists(st.text(max_size=60).map(lambda text: text + ".gguf"), max_size=8))
def test_names_may_be_anything(names):
    found = group([RemoteFile(name) for name in names])
    assert sum(len(variant.files) for variant in found) == len(names)
