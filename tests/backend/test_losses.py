"""What quants lose, kept as it was measured."""

from dataclasses import replace

import pytest
from tiny_models import tiny_llama

from backend import losses, paths
from backend.gguf import describe, open_gguf
from backend.losses import Loss


def loss(**changes):
    facts = {"at": 1.0, "model": "llama/5/a", "quant": "Q4_K_M", "rise": 2.5, "divergence": 0.03,
             "agreement": 0.93, "tokens": 4000, "text": "mine.txt"}  # fmt: skip
    return Loss(**(facts | changes))


def test_the_last_measurement_of_each_quant_counts(home):
    assert losses.measured("llama/5/a") == {}
    for one in (loss(), loss(quant="Q8_0", rise=0.1), loss(rise=3.5), loss(model="llama/5/b")):
        losses.note(one)
    found = losses.measured("llama/5/a")
    assert {quant: one.rise for quant, one in found.items()} == {"Q4_K_M": 3.5, "Q8_0": 0.1}


def test_a_line_that_a_full_disk_has_cut_is_passed_over(home):
    losses.note(loss())
    file = paths.data_dir() / "losses.jsonl"
    file.write_bytes(file.read_bytes()[:20] + b"\n" + file.read_bytes())
    losses.note(loss(quant="Q6_K"))
    assert set(losses.measured("llama/5/a")) == {"Q4_K_M", "Q6_K"}


def test_a_folder_that_cannot_be_written_is_no_reason_to_stop(home):
    paths.data_dir().parent.mkdir(parents=True, exist_ok=True)
    paths.data_dir().write_bytes(b"")
    losses.note(loss())
    assert losses.measured("llama/5/a") == {}


@pytest.mark.parametrize(
    ("quant", "other", "told"),
    [("Q8_0", "F16", True), ("F16", "F32", False), ("Q8_0", "Q8_0", False)],
)
def test_only_a_quant_against_the_same_model_in_precision_tells(tmp_path, quant, other, told):
    cards = []
    for number, kind in enumerate((quant, other)):
        with open_gguf(tiny_llama(tmp_path / f"{number}.gguf", tensor_type=kind).path) as file:
            cards.append(describe(file))
    assert losses.tells_loss(*cards) == told
    assert not losses.tells_loss(cards[0], replace(cards[1], name="another"))
    assert not losses.tells_loss(cards[0], replace(cards[1], params=7))
