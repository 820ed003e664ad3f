"""What can be made of a model: sizes to the byte, and only what makes sense."""

import pytest
from checkpoints import checkpoint
from tiny_families import FAMILIES, make
from tiny_models import tiny_bitnet, tiny_llama

from backend.errors import SternaError
from backend.gguf.converting import convert
from backend.gguf.quantising import quantise
from backend.offers import of_checkpoint, of_file


def test_sizes_are_those_of_the_files(tmp_path):
    source = tiny_llama(tmp_path / "x-F16.gguf", hidden=256, ffn=512, tensor_type="F16").path
    offer = of_file(source)
    assert (offer.quant, offer.bytes, offer.lossy) == ("F16", source.stat().st_size, False)
    assert offer.usual == "Q5_K_M"
    names = [choice.quant.name for choice in offer.choices]
    assert {"Q8_0", "Q4_K_M", "IQ4_XS", "Q2_K_S"} < set(names)
    assert not {"F32", "BF16", "F16", "TQ2_0", "MXFP4"} & set(names)
    for choice in offer.choices:
        assert quantise(source, choice.quant.name, tmp_path / "y.gguf").bytes == choice.bytes
    sizes = [choice.bytes for choice in offer.choices]
    assert sizes == sorted(sizes, reverse=True)


def test_what_is_quantised_already_is_said(tmp_path):
    source = tiny_llama(tmp_path / "x.gguf", hidden=256, ffn=512, tensor_type="Q8_0").path
    offer = of_file(source)
    assert offer.lossy
    assert "Q8_0" not in [choice.quant.name for choice in offer.choices]
    assert all(choice.bytes < offer.bytes for choice in offer.choices)


def test_ternary_models_stay_ternary(tmp_path):
    offer = of_file(tiny_bitnet(tmp_path / "x.gguf").path)
    assert {choice.quant.name for choice in offer.choices} <= {"TQ1_0", "TQ2_0"}


def test_experts_may_be_mxfp4(tmp_path):
    made = make(tmp_path / "x.gguf", FAMILIES["mixtral"])
    assert "MXFP4" in [choice.quant.name for choice in of_file(made.path).choices]


def test_a_checkpoint_in_its_own_precision_and_in_others(tmp_path):
    folder = checkpoint(tmp_path / "Tiny", dtype="bfloat16").folder
    offer = of_checkpoint(folder)
    assert offer.quant == offer.usual == "BF16"
    sizes = {choice.quant.name: choice.bytes for choice in offer.choices}
    assert convert(folder, tmp_path / "own.gguf").bytes == sizes["BF16"]
    for quant in ("Q8_0", "Q4_K_M"):
        assert convert(folder, tmp_path / "x.gguf", quant=quant).bytes == sizes[quant]
    assert "F32" not in sizes


def test_what_is_no_model_is_refused(tmp_path):
    path = tmp_path / "x.gguf"
    path.write_bytes(b"nothing")
    with pytest.raises(SternaError):
        of_file(path)
