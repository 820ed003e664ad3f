"""The golden rules and the roles, and what must hold for every model and machine."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from published_models import LLAMA_8B, decoder

from backend.errors import SternaError
from backend.fit import (
    Model,
    Offer,
    Speed,
    Use,
    explain,
    judge,
    largest_model,
    llama_cpp,
    read_model,
    reasons,
    recommend,
    rules,
    typical,
    ways_out,
)  # fmt: skip
from backend.fit.grades import grade
from backend.fit.rules import Rules
from backend.machine import Replay, assume, read_machine
from backend.quants import QUANTS

GB = 10**9
LADDER = ["Q8_0", "Q6_K", "Q5_K_M", "Q5_K_S", "Q4_K_M", "Q4_K_S", "IQ4_XS", "Q3_K_M", "Q2_K"]
SOMEWHERE = read_machine(Replay({}))


def machine(ram, vram=None):
    return assume(SOMEWHERE, ram=round(ram * GB), vram=vram)


def offers(*names):
    return [Offer(name) for name in names or LADDER]


def unknown(_model, _context):
    return None


def choose(params, ram, names=(), use=None, pace=unknown, vram=None):
    model = params if isinstance(params, Model) else typical(round(params))
    here, use = machine(ram, vram), use or Use()
    found = judge(model, offers(*names), here, use, llama_cpp, pace)
    return model, here, use, found, recommend(model, found, here, use, llama_cpp, pace)


def quant(*args, **kwargs):
    chosen = choose(*args, **kwargs)[-1].chosen
    return chosen and chosen.quant


def told(*args, **kwargs):
    model, here, use, _found, r = choose(*args, **kwargs)
    return " ".join(reasons(model, r, here, use, largest_model(here, use, llama_cpp)))


# Golden rule 1


@pytest.mark.parametrize(
    ("params", "ram", "wanted"),
    [
        (70e9, 64, "Q4_K_M"),  # 30B and more: nearly lossless
        (32e9, 40, "Q4_K_M"),
        (14e9, 16, "Q4_K_M"),  # the default of balance
        (8e9, 12, "Q5_K_M"),  # below about 8B: Q5_K_M or higher where it fits
        (4e9, 8, "Q5_K_M"),
        (8e9, 6, "Q4_K_M"),  # only when it must
        (0.6e9, 4, "Q8_0"),  # tiny models
        (1e9, 4, "Q8_0"),
        (8e9, 64, "Q8_0"),  # lots of memory
        (8e9, 6.6, "Q5_K_S"),  # Q5_K_M is slightly too big
        (8e9, 5.8, "Q4_K_S"),
        (8e9, 5.5, "IQ4_XS"),  # every megabyte counts
    ],
)
def test_the_size_of_a_model_decides(params, ram, wanted):
    assert quant(params, ram) == wanted


def test_plenty_is_not_taken_where_it_is_slow():
    def slow(model, _context):
        return Speed(
            20, 30e9 / model.file_bytes, 30e9 / model.file_bytes, 0.1
        )  # 3.5 tokens a second at 8 bits

    assert quant(8e9, 64, pace=slow) == "Q5_K_M"


def test_speed_first_and_quality_first():
    assert quant(8e9, 64, use=Use(prefer="speed")) == "Q4_K_S"
    assert quant(8e9, 12, use=Use(prefer="quality")) == "Q8_0"
    assert "Where speed comes first" in told(8e9, 64, use=Use(prefer="speed"))


# Golden rule 2


def test_few_bits_are_the_last_resort_after_a_smaller_model():
    model, here, use, _found, r = choose(8e9, 5)
    assert r.chosen.quant == "Q3_K_M"
    said = reasons(model, r, here, use, largest_model(here, use, llama_cpp))
    assert "smaller model at 4 bits" in said[0]
    assert "last resort" in said[1]
    assert "not reliably faster" in said[1]


def test_few_bits_are_never_the_smaller_neighbour_of_more():
    for ram in (5.5, 6, 7, 12):
        r = choose(8e9, ram)[-1]
        assert r.smaller is None or not r.smaller.grade.last_resort


def test_few_bits_are_not_taken_while_four_fit():
    assert quant(8e9, 64, ["Q2_K", "IQ4_XS"]) == "IQ4_XS"
    assert quant(8e9, 64, ["Q2_K", "F16"]) == "F16"
    assert quant(8e9, 5, ["Q2_K", "F16"]) == "Q2_K"


# Neighbours, and nothing at all


def test_the_runner_up_each_way():
    r = choose(8e9, 12)[-1]
    assert (r.smaller.quant, r.bigger.quant) == ("Q4_K_M", "Q6_K")
    assert r.smaller.needs.total < r.chosen.needs.total < r.bigger.needs.total


def test_reasons_tell_memory_speed_and_neighbours():
    def pace(model, _context):
        return Speed(60, 40e9 / model.file_bytes, 40e9 / model.file_bytes, 0.08)

    said = told(8e9, 12, pace=pace)
    assert "logic and code" in said
    assert "of 12.0 GB free" in said
    assert "tokens a second" in said
    assert "Smaller: Q4_K_M" in said
    assert "times as fast" in said


def test_what_ran_here_is_told_as_such():
    assert "It ran here before: 9.6 tokens" in told(
        8e9, 12, pace=lambda _m, _c: Speed(61.2, 9.6, 8.0, 0.05, measured=True)
    )


def test_nothing_fits():
    _model, here, use, found, r = choose(70e9, 8)
    assert r.chosen is None
    said = " ".join(
        ways_out(found, here, with_q8=None, largest=largest_model(here, use, llama_cpp))
    )
    assert "more than the 8.00 GB that is free" in said
    assert "smaller model" in said.casefold()
    assert "endpoint" in said


def test_ways_out_name_the_shorter_context_and_the_smaller_cache():
    use = Use(context=131072)
    model, here, _, found, r = choose(8e9, 14, use=use)
    assert r.chosen is None
    eight = judge(model, offers("Q2_K"), here, Use(131072, "q8_0"), llama_cpp)
    said = " ".join(ways_out(found, here, with_q8=eight[0], largest=0))
    assert "A shorter context helps" in said
    assert "8-bit KV cache" in said


def test_another_runtime_could_use_the_gpu():
    assert "could hold all of it" in told(8e9, 32, vram=24 * GB)
    assert "layers" in told(8e9, 32, vram=4 * GB)
    assert "GPU" not in told(8e9, 32, vram=0)


# Names and native models


def test_a_ternary_model_is_taken_as_it_was_trained():
    ternary = read_model(decoder("bitnet", **LLAMA_8B, quant="TQ2_0"))
    assert ternary.native("TQ2_0")
    assert quant(ternary, 64, ["F16", "TQ2_0", "Q4_K_M"]) == "TQ2_0"
    assert "trained with ternary weights" in told(ternary, 64, ["F16", "TQ2_0"])


@pytest.mark.parametrize("here", ["I2_S", "TQ2_0"])
def test_of_two_that_are_equal_the_file_at_hand_is_taken(here):
    ternary, machine_here, use = (
        read_model(decoder("bitnet", **LLAMA_8B, quant="TQ2_0")),
        machine(64),
        Use(),
    )
    had = [Offer(name, file="model.gguf" if name == here else "") for name in ("I2_S", "TQ2_0")]
    found = judge(ternary, had, machine_here, use, llama_cpp, unknown)
    assert recommend(ternary, found, machine_here, use, llama_cpp, unknown).chosen.quant == here


def test_a_model_compressed_to_ternary_weights_is_ruined():
    plain = read_model(decoder(**LLAMA_8B))
    assert not plain.native("TQ2_0")
    assert quant(plain, 64, ["TQ2_0", "Q4_K_M"]) == "Q4_K_M"
    assert grade("UD-TQ1_0").last_resort


@pytest.mark.parametrize(
    ("name", "like"),
    [
        ("Q4_K_XL", "Q4_K_M"), ("UD-Q4_K_XL", "Q4_K_M"), ("Q5_K_L", "Q5_K_M"), ("q6_k", "Q6_K"),
        ("Q3_K_XL", "Q3_K_M"), ("Q4_K", "Q4_K_M"), ("UD-IQ2_M", "IQ2_M"), ("Q8_0", "Q8_0"), ("bf16", "BF16"),
    ],
)  # fmt: skip
def test_makers_have_names_of_their_own(name, like):
    assert grade(name).like is QUANTS[like]


def test_an_unknown_name_is_judged_by_its_bits():
    assert grade("MYSTERY", 6.5).like.name == "Q6_K"
    assert grade("IQ4_KSS", 4.0).like.bits < 4.7


def test_a_makers_mix_has_the_size_of_its_file():
    model = typical(8_000_000_000)
    here, use = machine(16), Use()
    own = judge(model, [Offer("UD-Q4_K_XL", 5_100_000_000)], here, use, llama_cpp)[0]
    assert own.needs.weights == pytest.approx(5_100_000_000, rel=1e-6)
    assert own.grade.like.name == "Q4_K_M"


def test_names_are_explained():
    said = " ".join(explain("Q4_K_M"))
    assert "about so many bits" in said
    assert "attention values" in said
    assert "standard" in said
    assert "uneven scale" in " ".join(explain("IQ4_XS"))
    assert explain("TQ2_0")
    assert explain("???") == explain("Q")[:1]


def test_every_rule_names_its_sources():
    told_rules = rules()
    assert isinstance(told_rules, Rules)
    lists = [c.sources for c in told_rules.classes]
    lists += [told_rules.speed.sources, told_rules.last_resort.sources, told_rules.native.sources]
    assert all(s in told_rules.sources for names in lists for s in names)
    assert all(names for names in lists)
    assert all(c.ideal in QUANTS for c in told_rules.classes)


@pytest.mark.parametrize(
    "wrong", [{"context": 0}, {"kv": "q3"}, {"prefer": "luck"}, {"context": 1 << 40}]
)
def test_a_use_that_makes_no_sense(wrong):
    with pytest.raises(SternaError):
        Use(**wrong)


# What must always hold

SIZES = st.sampled_from([135e6, 0.6e9, 1.2e9, 3e9, 8e9, 14e9, 32e9, 70e9, 120e9]).map(
    lambda n: typical(int(n))
)
NAMES = st.lists(st.sampled_from([*QUANTS, "UD-Q4_K_XL", "Q4_K", "ODD"]), min_size=1, unique=True)
RAM = st.floats(0.2, 600)
USES = st.builds(
    Use,
    st.none() | st.integers(1, 200_000),
    st.sampled_from(["auto", "f16", "q8_0", "f32", "q4_0"]),
    st.sampled_from(["balance", "speed", "quality"]),
)
PACES = st.sampled_from(
    [
        unknown,
        lambda m, _c: Speed(50, 20e9 / m.file_bytes, 20e9 / m.file_bytes, 0.1),
        lambda m, _c: Speed(9e3, 900.0, 900.0, 0.1),
    ]
)


@settings(max_examples=40, deadline=None)
@given(SIZES, NAMES, RAM, RAM, USES, PACES)
def test_more_memory_never_recommends_a_worse_quant(model, names, one, other, use, pace):
    less, more = sorted((one, other))
    before = choose(model, less, names, use, pace)[-1].chosen
    after = choose(model, more, names, use, pace)[-1].chosen
    if before is not None:
        assert after is not None
        assert (after.grade.last_resort, after.grade.rank) <= (
            before.grade.last_resort,
            before.grade.rank,
        )


@settings(max_examples=60, deadline=None)
@given(SIZES, NAMES, RAM, USES, PACES)
def test_what_is_recommended_is_offered_and_fits(model, names, ram, use, pace):
    _, here, _, found, r = choose(model, ram, names, use, pace)
    assert len(found) == len(names)
    for c in (r.chosen, r.smaller, r.bigger):
        if c is not None:
            assert c.quant in names
            assert c.needs.total <= here.memory.available
            assert c.max_context >= c.context
    if r.chosen is not None:
        assert reasons(model, r, here, use, 0)
    else:
        assert ways_out(found, here, with_q8=None, largest=0)


@settings(max_examples=60, deadline=None)
@given(SIZES, st.sampled_from(LADDER), st.integers(1, 300_000), st.integers(1, 300_000), USES)
def test_a_longer_context_never_needs_less(model, name, one, other, use):
    short, long = sorted((one, other))
    need = [
        judge(model, offers(name), machine(64), Use(context, use.kv), llama_cpp)[0].needs
        for context in (short, long)
    ]
    assert need[0].total <= need[1].total
    assert need[0].kv <= need[1].kv


@settings(max_examples=40, deadline=None)
@given(SIZES, st.sampled_from(LADDER), RAM)
def test_the_longest_context_is_the_longest(model, name, ram):
    c = judge(model, offers(name), machine(ram), Use(), llama_cpp)[0]
    if c.max_context:
        assert llama_cpp(model_in(model, name), c.max_context, "auto").total <= ram * GB
    if c.max_context < model.context:
        assert llama_cpp(model_in(model, name), c.max_context + 256, "auto").total > ram * GB


def model_in(model, name):
    from backend.fit import quantised

    return quantised(model, name)
