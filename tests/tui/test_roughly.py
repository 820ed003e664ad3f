"""What a list of the Hub tells of models that nobody looked into."""

import pytest
from frozen import machine

from backend import advice, fit
from backend.machine import assume
from tui.roughly import QUANT, measure


@pytest.fixture(scope="module")
def rough():
    return measure(machine())


def test_more_parameters_need_more(rough):
    sizes = [20e6, 135e6, 500e6, 1e9, 2.4e9, 7.6e9, 27e9, 70e9, 235e9, 1.5e12]
    for arch in ("llama", "bitnet"):
        needs = [rough.needs(int(n), arch) for n in sizes]
        assert needs == sorted(needs)
        assert rough.needs(0, arch) == needs[0]


@pytest.mark.parametrize("params", [700e6, 1e9, 3.2e9, 7.2e9, 14e9, 27e9, 70e9, 235e9])
def test_between_the_sizes_it_is_about_right(rough, params):
    usual = fit.typical(int(params))
    exact = advice.judged(usual, fit.Offer(QUANT), machine(), fit.Use()).needs.total
    assert rough.needs(int(params)) == pytest.approx(exact, rel=0.2)


def test_a_ternary_model_needs_less(rough):
    assert rough.needs(7_000_000_000, "bitnet") < 0.6 * rough.needs(7_000_000_000, "llama")


def test_the_verdict_has_a_glyph_a_word_and_a_number(rough):
    assert rough.text(8_000_000_000) == "✓ about 5.5G"  # of 10.4 GB
    assert rough.text(15_000_000_000).startswith("≈ about")
    assert rough.text(70_000_000_000) == "✗ about 44G"
    assert [rough.kind(int(n)) for n in (8e9, 15e9, 70e9)] == ["fits", "tight", "too_big"]


def test_more_memory_is_never_worse():
    kinds = ["too_big", "tight", "fits"]
    told = [measure(assume(machine(), ram=int(n * 1e9))).kind(8_000_000_000) for n in (3, 5.6, 12)]
    assert [kinds.index(k) for k in told] == sorted(kinds.index(k) for k in told)
    assert told[0] == "too_big"
    assert told[-1] == "fits"
