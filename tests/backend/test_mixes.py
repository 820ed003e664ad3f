"""The mixes against published file sizes, and their rules one by one."""

import csv
from collections import Counter
from types import SimpleNamespace

import pytest

from backend.mixes import Tensor, Traits, names, plan, planned_bytes
from backend.quants import QUANTS


def shapes(*, layers, hidden, ffn, heads, kv_heads, vocab, head_dim=128, tied=False, norms=(),
           experts=0, fused=False):  # fmt: skip
    """The tensors of a decoder, as any GGUF of it lists them."""
    wide, narrow = heads * head_dim, kv_heads * head_dim
    tensors = {
        "token_embd.weight": Tensor((hidden, vocab)),
        "output_norm.weight": Tensor((hidden,)),
    }
    for i in range(layers):
        rows = {"attn_norm": (hidden,), "ffn_norm": (hidden,), "attn_output": (wide, hidden)}
        if fused:
            rows |= {"attn_qkv": (hidden, wide + 2 * narrow), "ffn_up": (hidden, 2 * ffn)}
            rows |= {"ffn_down": (ffn, hidden)}
        else:
            rows |= {
                "attn_q": (hidden, wide),
                "attn_k": (hidden, narrow),
                "attn_v": (hidden, narrow),
            }
        if experts:
            rows |= {"ffn_gate_inp": (hidden, experts), "ffn_down_exps": (ffn, hidden, experts)}
            rows |= {f"ffn_{part}_exps": (hidden, ffn, experts) for part in ("gate", "up")}
        elif not fused:
            rows |= {"ffn_gate": (hidden, ffn), "ffn_up": (hidden, ffn), "ffn_down": (ffn, hidden)}
        rows |= {name: (head_dim if "qk" in name else hidden,) for name in norms}
        tensors |= {f"blk.{i}.{name}.weight": Tensor(shape) for name, shape in rows.items()}
    if not tied:
        tensors["output.weight"] = Tensor((hidden, vocab))
    return tensors


# Hyper-parameters of published models, from their configuration files.
LLAMA_8B = {
    "layers": 32, "hidden": 4096, "ffn": 14336, "heads": 32, "kv_heads": 8, "vocab": 128256,
}  # fmt: skip
MIXTRAL = LLAMA_8B | {"vocab": 32000, "experts": 8}
GEMMA3_12B = {
    "layers": 48, "hidden": 3840, "ffn": 15360, "heads": 16, "kv_heads": 8, "vocab": 262208,
    "head_dim": 256, "tied": True,
}  # fmt: skip
MODELS = {"Gemma-3-12B": ("gemma3", GEMMA3_12B)}
COLUMNS = {
    "layers": "n_layer", "hidden": "n_embd", "ffn": "n_ff", "heads": "n_head",
    "kv_heads": "n_head_kv", "vocab": "n_vocab", "head_dim": "key_len",
}  # fmt: skip


def sized(arch, quant, size, imatrix=False):
    tensors = shapes(**size)
    traits = Traits(arch, size["layers"], size["heads"], size["kv_heads"], size.get("experts", 0))
    types = plan(quant, traits, tensors, imatrix=imatrix)
    assert list(types) == list(tensors)
    return types, planned_bytes(types, tensors)


@pytest.mark.conformance
def test_sizes_equal_the_published_files(conformance):
    compared = 0
    with (conformance / "fit" / "points.csv").open() as file:
        for row in csv.DictReader(file):
            if row["kind"] != "weights" or row["quant"] not in names():
                continue
            if row["model"] in MODELS:
                arch, size = MODELS[row["model"]]
            elif row["n_embd"]:
                arch = row["arch"]
                size = {name: int(row[column]) for name, column in COLUMNS.items()}
            else:
                continue
            imatrix = row["quant"].startswith(("IQ1", "IQ2", "IQ3"))  # not to be had without
            types, size_here = sized(arch, row["quant"], size, imatrix)
            if "64 f16 tensors" in row["model"]:  # another program's mix: values in half precision
                types |= {name: "F16" for name in types if "attn_v" in name}
                size_here = planned_bytes(types, shapes(**size))
            expected, allowed = int(row["expected_bytes"]), max(0.5, float(row["tolerance_pct"]))
            off = 100 * abs(size_here / expected - 1)
            assert off <= allowed, (row["id"], row["model"], row["quant"], size_here, expected)
            compared += 1
    assert compared >= 35


def test_the_default_recommendation_protects_half_of_the_layers():
    types, _ = sized("llama", "Q4_K_M", LLAMA_8B)
    kept = [i for i in range(32) if types[f"blk.{i}.ffn_down.weight"] == "Q6_K"]
    assert kept == [0, 1, 2, 3, 6, 9, 12, 15, 18, 21, 24, 27, 28, 29, 30, 31]
    assert kept == [i for i in range(32) if types[f"blk.{i}.attn_v.weight"] == "Q6_K"]
    assert types["output.weight"] == "Q6_K"
    assert types["token_embd.weight"] == types["blk.9.attn_q.weight"] == "Q4_K"
    assert types["blk.9.attn_norm.weight"] == "F32"


def test_layers_count_by_number_not_by_name():
    types, _ = sized("llama", "Q4_K_S", LLAMA_8B)
    assert [i for i in range(32) if types[f"blk.{i}.attn_v.weight"] == "Q5_K"] == [0, 1, 2, 3]


def test_a_tied_table_has_the_type_of_an_output_matrix():
    tied, _ = sized("llama", "Q4_K_M", LLAMA_8B | {"tied": True})
    assert tied["token_embd.weight"] == "Q6_K"
    ternary, _ = sized("llama", "TQ2_0", LLAMA_8B)
    assert ternary["token_embd.weight"] == "Q4_K"


def test_rows_that_do_not_fill_blocks_get_a_type_that_they_fill():
    odd = LLAMA_8B | {"ffn": 29568}
    types, _ = sized("qwen2", "Q4_K_M", odd)
    assert Counter(types[f"blk.{i}.ffn_down.weight"] for i in range(32)) == {"Q5_0": 16, "Q8_0": 16}
    tiny = LLAMA_8B | {"layers": 1, "hidden": 64, "head_dim": 8, "ffn": 172, "heads": 8}
    types, _ = sized("llama", "IQ4_XS", tiny)
    assert types["blk.0.attn_q.weight"] == "IQ4_NL"
    assert types["blk.0.ffn_down.weight"] == "F16"
    assert types["output.weight"] == "Q8_0"
    types, _ = sized("llama", "Q4_0", tiny)
    assert types["blk.0.ffn_down.weight"] == "F16"


def test_eight_experts_keep_their_small_matrices():
    types, _ = sized("llama", "Q4_K_M", MIXTRAL)
    assert types["blk.5.attn_v.weight"] == types["blk.5.attn_k.weight"] == "Q8_0"
    assert types["blk.5.attn_output.weight"] == "Q5_K"
    assert types["blk.5.ffn_gate_inp.weight"] == "F32"
    assert types["blk.5.ffn_down_exps.weight"] == "Q4_K"
    assert types["blk.6.ffn_down_exps.weight"] == "Q6_K"


def test_four_bit_floats_are_for_experts():
    types, _ = sized("qwen3moe", "MXFP4", MIXTRAL | {"experts": 16})
    assert types["blk.0.ffn_up_exps.weight"] == "MXFP4"
    assert types["blk.0.attn_q.weight"] == types["token_embd.weight"] == "Q8_0"
    types, _ = sized("llama", "MXFP4", LLAMA_8B)
    assert types["blk.0.attn_q.weight"] == "MXFP4"


def test_fused_matrices_count_as_values():
    types, _ = sized("phi3", "Q4_K_M", LLAMA_8B | {"fused": True})
    assert types["blk.0.attn_qkv.weight"] == "Q6_K"
    assert types["blk.4.attn_qkv.weight"] == "Q4_K"


def test_a_matrix_at_hand_changes_some_mixes():
    for quant, without, given in (("Q4_0", "Q4_0", "Q4_1"), ("IQ4_XS", "Q5_K", "IQ4_XS")):
        assert sized("llama", quant, LLAMA_8B)[0]["blk.0.ffn_down.weight"] == without
        assert sized("llama", quant, LLAMA_8B, True)[0]["blk.0.ffn_down.weight"] == given


def test_plain_quants_touch_matrices_alone():
    types, _ = sized("llama", "BF16", LLAMA_8B)
    assert types["blk.0.attn_norm.weight"] == types["output_norm.weight"] == "F32"
    assert types["blk.0.attn_q.weight"] == types["token_embd.weight"] == "BF16"


# Models of four-bit floats were trained so: the table has no figure of an 8B model for them.
@pytest.mark.parametrize("quant", [quant for quant in names() if quant != "MXFP4"])
def test_whole_files_have_the_bits_of_the_table(quant):
    _, size = sized("llama", quant, LLAMA_8B, imatrix=quant.startswith(("IQ1", "IQ2", "IQ3")))
    bits = 8 * size / 8_030_261_248
    # The tables of ternary types give the type's bits, not a file's; floats keep norms in F32.
    allowed = 0.02 if not quant.startswith("TQ") else 1
    assert bits == pytest.approx(QUANTS[quant].bits, rel=allowed)


def test_traits_are_read_from_metadata():
    values = {"general.architecture": "llama", "llama.block_count": 80,
              "llama.attention.head_count": [64, 64], "llama.attention.head_count_kv": 8}  # fmt: skip
    fields = SimpleNamespace(
        string=lambda key, default=None: values.get(key, default),
        integer=lambda key, default=None: values.get(key, default),
        integers=lambda key: v if isinstance(v := values.get(key), list) else [],
    )
    traits = Traits.read(fields)
    assert traits == Traits("llama", 80, 64, 8, 0)
    assert traits.is_70b
    assert traits.grouped
