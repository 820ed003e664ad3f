"""What people type and paste."""

import pytest

from backend.errors import SternaError
from backend.hub.reference import Reference, looks_remote, parse


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("own/Model", Reference("own/Model")),
        ("own/Model:Q4_K_M", Reference("own/Model", "Q4_K_M")),
        ("own/Model:sub/model-Q4_K_M.gguf", Reference("own/Model", "sub/model-Q4_K_M.gguf")),
        ("own/Model@v1.0:Q8_0", Reference("own/Model", "Q8_0", "v1.0")),
        ("own/Model/model-Q4_K_M.gguf", Reference("own/Model", "model-Q4_K_M.gguf")),
        ("https://huggingface.co/own/Model", Reference("own/Model")),
        ("https://huggingface.co/own/Model/", Reference("own/Model")),
        ("http://huggingface.co/own/Model/tree/main", Reference("own/Model")),
        ("https://hf.co/own/Model:Q5_K_M", Reference("own/Model", "Q5_K_M")),
        ("hf.co/own/Model", Reference("own/Model")),
        ("hf://own/Model/a.gguf", Reference("own/Model", "a.gguf")),
        ("https://huggingface.co/own/Model/blob/main/a.gguf", Reference("own/Model", "a.gguf")),
        (
            "https://huggingface.co/own/Model/resolve/v2/sub/a.gguf?download=true",
            Reference("own/Model", "sub/a.gguf", "v2"),
        ),
        (
            "https://huggingface.co/own/Model?show_file_info=a-Q4_0.gguf",
            Reference("own/Model", "a-Q4_0.gguf"),
        ),
        ("https://huggingface.co/own/Model/discussions/3", Reference("own/Model")),
        ("  own/Model  ", Reference("own/Model")),
        ("https://huggingface.co/gpt2", Reference("gpt2")),
    ],
)
def test_forms_that_are_understood(text, meant):
    assert parse(text) == meant


def test_a_mirror_is_the_hub(monkeypatch):
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.example/hf/")
    assert parse("https://mirror.example/hf/own/Model/tree/main") == Reference("own/Model")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a b",
        "../../etc/passwd",
        "own/../Model",
        "own--x/Model--y",
        "https://example.com/own/Model",
        "file:///etc/passwd",
        "https://huggingface.co/datasets/own/data",
        "own/" + "x" * 100,
        "own/Mod\x1bel",
        "-own/Model",
    ],
)
def test_what_is_no_model_is_refused(text):
    with pytest.raises(SternaError) as caught:
        parse(text)
    assert caught.value.kind == "bad_argument"
    assert not looks_remote(text)


def test_a_plain_word_is_not_taken_for_the_hub():
    assert looks_remote("own/Model:Q4_K_M")
    assert not looks_remote("starter")
