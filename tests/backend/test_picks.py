"""What to begin with: sizes as the published files have them, and nothing that does not fit."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend import picks
from backend.fit import quantised
from backend.machine import Replay, assume, read_machine

# Bytes of the published files; the header beside the weights is a vocabulary, some 6 MB.
PUBLISHED = {
    ("Qwen3 4B", "Q4_K_M"): 2_497_280_256,
    ("Qwen3 4B", "Q5_K_M"): 2_889_513_216,
    ("Qwen3 4B", "Q6_K"): 3_306_260_736,
    ("Qwen3 4B", "Q8_0"): 4_280_404_704,
    ("Qwen3 8B", "Q4_K_M"): 5_027_783_488,
    ("Qwen3 1.7B", "Q8_0"): 1_834_426_016,
    ("Qwen3 0.6B", "Q8_0"): 639_446_688,
    ("BitNet b1.58 2B 4T", "I2_S"): 1_187_801_280,
}
MACHINE = read_machine(Replay({}))


@pytest.mark.parametrize(("name", "quant"), PUBLISHED)
def test_sizes_follow_from_the_shape(name, quant):
    pick = next(p for p in picks.picks() if p.name == name)
    missing = PUBLISHED[name, quant] - quantised(picks.model_of(pick), quant).file_bytes
    assert 0 < missing < 10_000_000


@settings(max_examples=12, deadline=None)
@given(st.integers(0, 10**11), st.integers(0, 10**11))
def test_what_is_picked_fits_and_more_memory_picks_no_less(one, other):
    small, large = sorted((one, other))
    of = {}
    for ram in (small, large):
        chosen = picks.choose(assume(MACHINE, ram=ram))
        of[ram] = chosen
        assert len(chosen) <= picks.SHOWN
        assert all(p.candidate.fits and not p.candidate.grade.last_resort for p in chosen)
        assert all(p.candidate.quant in p.pick.quants for p in chosen)
    assert len(of[small]) <= len(of[large])
    assert max((p.bytes for p in of[small]), default=0) <= max(
        (p.bytes for p in of[large]), default=0
    )


def test_a_ternary_model_is_among_them_and_told_as_such():
    chosen = picks.choose(assume(MACHINE, ram=16 * 10**9))
    (ternary,) = (p for p in chosen if p.candidate.grade.native)
    assert ternary.candidate.quant == "I2_S"
    assert "trained" in ternary.pick.about
    assert ternary.reference == "microsoft/bitnet-b1.58-2B-4T-gguf:I2_S"
    assert 90 < ternary.seconds < 100
