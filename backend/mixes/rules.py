"""The table of mixes: for each role of a tensor, which type it gets in which layers."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from backend.mixes.traits import Traits

PLAIN = ("F32", "BF16", "F16")  # quants that are no mix


@dataclass(frozen=True, slots=True)
class Place:
    """A tensor's place among those of its role: number `index` of `count`."""

    index: int
    count: int
    traits: Traits
    imatrix: bool


Condition = Callable[[Place], bool]
Rule = tuple[tuple[Condition, str], ...]


def first(rule: Rule, at: Place, otherwise: str) -> str:
    """Return the type of the first condition that holds."""
    return next((name for holds, name in rule if holds(at)), otherwise)


def _always(at: Place) -> bool:
    return True


def _first_two(at: Place) -> bool:
    return at.index < 2


def _first_four(at: Place) -> bool:
    return at.index < 4


def _first_sixteenth(at: Place) -> bool:
    return at.index < at.count // 16


def _first_eighth(at: Place) -> bool:
    return at.index < at.count // 8


def _middle(at: Place) -> bool:
    return at.count // 8 <= at.index < 7 * at.count // 8


def _half(at: Place) -> bool:
    """The first and the last eighth, and every third between."""
    return not _middle(at) or (at.index - at.count // 8) % 3 == 2


def _half_of_eight(at: Place) -> bool:
    return at.traits.experts == 8 and _half(at)


def _grouped(at: Place) -> bool:
    return at.traits.grouped


def _shared(at: Place) -> bool:
    return at.traits.grouped or at.traits.experts >= 4


def _no_imatrix(at: Place) -> bool:
    return not at.imatrix


def _first_eighth_without(at: Place) -> bool:
    return not at.imatrix and _first_eighth(at)


def _first_eighth_with(at: Place) -> bool:
    return at.imatrix and _first_eighth(at)


def _all(name: str) -> Rule:
    return ((_always, name),)


@dataclass(frozen=True, slots=True)
class Mix:
    """Types by role. `base` where no rule holds; `head` is the output matrix."""

    base: str
    value: Rule = ()
    down: Rule = ()
    out: Rule = ()  # the matrix behind attention
    query_key: Rule = ()
    gate_up: Rule = ()
    head: str = "Q6_K"
    table: str = ""  # embeddings that are not the output matrix as well; "": base
    out_of_eight: str = ""  # `out` in a model of eight experts; "": base
    key_of_eight: str = "Q8_0"  # keys (and by the general rule values) there
    few_bits: bool = False  # of the family at two bits and less, whose values obey no general rule


def _two_bits(base: str, more: str, out: Rule) -> Mix:
    return Mix(
        base,
        value=((_shared, "Q4_K"), (_always, more)),
        down=((_first_eighth, more),),
        out=out,
        head="Q5_K",
        table=more,
        out_of_eight="Q5_K",
        key_of_eight="Q4_K",
        few_bits=True,
    )


_HALF_Q6: Rule = ((_half, "Q6_K"),)
_IQ4_VALUE: Rule = ((_grouped, "Q5_K"),)
_IQ4_DOWN: Rule = ((_first_eighth_without, "Q5_K"),)

MIXES: dict[str, Mix] = {
    "Q8_0": Mix("Q8_0", head="Q8_0"),
    "Q6_K": Mix("Q6_K"),
    "Q5_K_M": Mix("Q5_K", value=_HALF_Q6, down=_HALF_Q6),
    "Q5_K_S": Mix("Q5_K"),
    "Q5_1": Mix("Q5_1"),
    "Q5_0": Mix("Q5_0", down=((_first_eighth_with, "Q5_1"),)),
    "Q4_K_M": Mix("Q4_K", value=_HALF_Q6, down=_HALF_Q6, out_of_eight="Q5_K"),
    "Q4_K_S": Mix(
        "Q4_K", value=((_first_four, "Q5_K"),), down=((_first_eighth, "Q5_K"),), out_of_eight="Q5_K"
    ),
    "IQ4_NL": Mix("IQ4_NL", value=_IQ4_VALUE, down=_IQ4_DOWN, out_of_eight="Q5_K"),
    "IQ4_XS": Mix("IQ4_XS", value=_IQ4_VALUE, down=_IQ4_DOWN, out_of_eight="Q5_K"),
    "Q4_1": Mix("Q4_1"),
    "Q4_0": Mix("Q4_0", down=((_first_eighth_with, "Q4_1"),)),
    "Q3_K_L": Mix("Q3_K", value=_all("Q5_K"), down=_all("Q5_K"), out=_all("Q5_K")),
    "Q3_K_M": Mix(
        "Q3_K",
        value=((_first_two, "Q5_K"), (_always, "Q4_K")),
        down=((_first_sixteenth, "Q5_K"), (_always, "Q4_K")),
        out=_all("Q4_K"),
        out_of_eight="Q5_K",
    ),
    "Q3_K_S": Mix("Q3_K", out_of_eight="Q5_K"),
    "Q2_K": Mix(
        "Q2_K",
        value=((_grouped, "Q4_K"), (_always, "Q3_K")),
        down=_all("Q3_K"),
        out=_all("Q3_K"),
        out_of_eight="Q5_K",
    ),
    "Q2_K_S": Mix("Q2_K", value=((_grouped, "Q4_K"),), down=((_first_eighth, "Q4_K"),)),
    "IQ3_M": Mix(
        "IQ3_S",
        value=_all("Q4_K"),
        down=((_first_eighth, "Q4_K"), (_half_of_eight, "Q4_K")),
        out=_all("Q4_K"),
        out_of_eight="Q5_K",
    ),
    "IQ3_S": Mix("IQ3_S", value=((_grouped, "Q4_K"),), out_of_eight="Q5_K"),
    "IQ3_XS": Mix(
        "IQ3_S",
        value=((_grouped, "Q4_K"),),
        query_key=_all("IQ3_XXS"),
        gate_up=((_middle, "IQ3_XXS"),),
        out_of_eight="Q5_K",
    ),
    "IQ3_XXS": Mix(
        "IQ3_XXS",
        value=((_grouped, "Q4_K"), (_no_imatrix, "IQ3_S")),
        down=((_first_eighth_without, "Q4_K"), (_no_imatrix, "Q3_K")),
        out=_all("IQ3_S"),
        query_key=_all("IQ2_S"),
        head="Q5_K",
        table="IQ3_S",
        out_of_eight="Q5_K",
    ),
    "IQ2_M": _two_bits("IQ2_S", "IQ3_S", _all("IQ3_S")),
    "IQ2_S": _two_bits("IQ2_XS", "IQ3_S", _all("IQ3_S")),
    "IQ2_XS": _two_bits("IQ2_XS", "Q2_K", ()),
    "IQ2_XXS": _two_bits("IQ2_XXS", "Q2_K", ()),
    "IQ1_M": _two_bits("IQ1_M", "Q2_K", _all("IQ2_XXS")),
    "IQ1_S": _two_bits("IQ1_S", "Q2_K", _all("IQ2_XXS")),
    "TQ2_0": Mix("TQ2_0", table="Q4_K"),
    "TQ1_0": Mix("TQ1_0", table="Q4_K"),
    # By llama.cpp only experts, all else Q8_0; a model without experts would be no MXFP4 at all.
    "MXFP4": Mix("MXFP4", head="Q8_0", table="Q8_0"),
}

# The first Falcon shares one value matrix among all heads, and protects others.
FALCON = {
    "Q4_K_M": replace(MIXES["Q4_K_M"], down=((_first_sixteenth, "Q6_K"), (_half, "Q5_K"))),
    "Q4_K_S": replace(MIXES["Q4_K_S"], down=()),
    "Q3_K_L": replace(MIXES["Q3_K_L"], down=_all("Q4_K"), out=_all("Q4_K")),
    "Q3_K_M": replace(MIXES["Q3_K_M"], down=((_first_sixteenth, "Q5_K"), (_half, "Q4_K")), out=()),
    **{quant: replace(MIXES[quant], out=()) for quant in ("Q2_K", "IQ3_M", "IQ3_XXS")},
}
