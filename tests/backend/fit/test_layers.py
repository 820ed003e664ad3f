"""What each layer keeps, by architecture."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from published_models import metadata

from backend.errors import SternaError
from backend.fit.cache import cache_bytes, cells, value_bytes
from backend.fit.layers import Layer, read_layers

PLAIN = {
    "block_count": 12, "embedding_length": 1024, "attention__head_count": 8,
    "attention__head_count_kv": 2, "attention__key_length": 128,
}  # fmt: skip


def read(arch="llama", **numbers):
    return read_layers(metadata(arch, **(PLAIN | numbers)))


def test_grouped_queries():
    assert read() == (Layer(2, 128, 128),) * 12
    assert read(attention__value_length=64)[0] == Layer(2, 128, 64)


def test_the_width_of_a_head_follows_from_the_embedding_where_it_is_not_given():
    layers = read_layers(
        metadata("llama", block_count=2, embedding_length=1024, attention__head_count=8)
    )
    assert layers == (Layer(8, 128, 128),) * 2


@pytest.mark.parametrize(
    ("arch", "numbers", "full"),
    [
        ("gemma3", {"attention__sliding_window": 512}, [5, 11]),
        ("gemma2", {}, [1, 3, 5, 7, 9, 11]),
        ("gpt-oss", {"attention__sliding_window": 128}, [1, 3, 5, 7, 9, 11]),
        ("llama4", {}, [3, 7, 11]),
        ("cohere2", {"attention__sliding_window": 4096}, [3, 7, 11]),
        # the file's own pattern, as a period and layer by layer
        ("gemma3", {"attention__sliding_window": 512, "attention__sliding_window_pattern": 4}, [3, 7, 11]),
        (
            "gemma3n",
            {"attention__sliding_window": 512, "attention__sliding_window_pattern": [True, False] * 6},
            [1, 3, 5, 7, 9, 11],
        ),
        # a window that the original model had, and that no runtime keeps to
        ("llama", {"attention__sliding_window": 4096}, list(range(12))),
        ("qwen2", {"attention__sliding_window": 4096}, list(range(12))),
    ],
)  # fmt: skip
def test_layers_that_see_all(arch, numbers, full):
    layers = read(arch, **numbers)
    assert [i for i, layer in enumerate(layers) if not layer.window] == full


def test_a_window_keeps_itself_and_a_block():
    layer = Layer(2, 128, 128, window=1024)
    assert cells(layer, 131072) == 1536
    assert cells(layer, 1000) == 1024  # of a short context all, in steps of 256
    assert cells(Layer(2, 128, 128), 131072) == 131072


def test_heads_of_each_layer():
    layers = read(attention__head_count_kv=[2, 4] * 6)
    assert [layer.kv_heads for layer in layers] == [2, 4] * 6


def test_latent_attention_keeps_one_vector_for_all_heads():
    latent = read("deepseek2", attention__key_length_mla=192, attention__kv_lora_rank=512,
                  rope__dimension_count=64, attention__head_count_kv=1)  # fmt: skip
    assert latent[0] == Layer(1, 576, 0)


def test_layers_that_share_keys_and_values_keep_none():
    layers = read("gemma3n", attention__shared_kv_layers=5)
    assert [bool(layer.kv_heads) for layer in layers] == [True] * 7 + [False] * 5


def test_layers_for_guessing_ahead_keep_none():
    assert [bool(layer.kv_heads) for layer in read("glm4moe", nextn_predict_layers=1)][-2:] == [
        True,
        False,
    ]


SSM = {"ssm__conv_kernel": 4, "ssm__inner_size": 2048, "ssm__state_size": 16}


def test_states_do_not_grow():
    mamba = read("mamba", attention__head_count=0, attention__head_count_kv=0, **SSM)
    size = 3 * 2048 + 16 * 2048
    assert mamba == (Layer(state=size),) * 12
    assert cache_bytes(mamba, 256) == cache_bytes(mamba, 131072) == 12 * 4 * size


def test_hybrids():
    qwen = read("qwen3next", ssm__group_count=16, **SSM)
    assert [i for i, layer in enumerate(qwen) if layer.kv_heads] == [3, 7, 11]
    assert qwen[0].state == 3 * (2048 + 2 * 16 * 16) + 16 * 2048
    jamba = read("jamba", attention__head_count_kv=[0, 0, 0, 2] * 3, **SSM)
    assert [layer.kv_heads for layer in jamba] == [0, 0, 0, 2] * 3
    assert [bool(layer.state) for layer in jamba] == [True, True, True, False] * 3
    falcon = read("falcon-h1", **SSM)  # every layer has both
    assert all(layer.kv_heads and layer.state for layer in falcon)
    nemotron = read("nemotron_h", attention__head_count_kv=[0, 2, 0] * 4,
                    feed_forward_length=[0, 0, 4096] * 4, **SSM)  # fmt: skip
    assert [(bool(n.kv_heads), bool(n.state)) for n in nemotron[:3]] == [
        (False, True), (True, False), (False, False),
    ]  # fmt: skip
    lfm = read("lfm2", attention__head_count_kv=[0, 2] * 6, shortconv__l_cache=3)
    assert [layer.state for layer in lfm[:2]] == [2 * 1024, 0]
    rwkv = read("rwkv7", wkv__head_size=64, attention__head_count_kv=0, attention__head_count=0)
    assert rwkv == (Layer(state=66 * 1024),) * 12


def test_an_encoder_keeps_nothing():
    data = metadata("bert", block_count=6, attention__causal=False)
    assert cache_bytes(read_layers(data), 512) == 0


@pytest.mark.parametrize(
    ("kv", "of_64"), [("f32", 256), ("f16", 128), ("q8_0", 68), ("q5_1", 48), ("q4_0", 36), ("iq4_nl", 36)]
)  # fmt: skip
def test_types_of_cache(kv, of_64):
    assert value_bytes(kv) * 64 == of_64


def test_keys_and_values_may_differ_in_type():
    layers = (Layer(2, 128, 64),)
    assert cache_bytes(layers, 256, "f16", "q8_0") == 256 * 2 * (128 * 2 + 64 * 34 // 32)


@pytest.mark.parametrize(
    "numbers",
    [
        {"block_count": 0}, {"block_count": -1}, {"block_count": 10**9}, {"attention__head_count": 0},
        {"attention__head_count": -4, "attention__head_count_kv": -4}, {"embedding_length": 10**12, "attention__key_length": 0},
        {"attention__head_count_kv": [2, -2] * 6}, {"attention__head_count_kv": [2] * 3, "attention__head_count": [1]},
    ],
)  # fmt: skip
def test_numbers_that_make_no_sense_are_told(numbers):
    with pytest.raises(SternaError) as told:
        read(**({"attention__key_length": 0} | numbers))
    assert told.value.kind == "not_a_model"


@given(
    st.sampled_from(["llama", "gemma3", "qwen35", "jamba", "deepseek2", "rwkv7", "lfm2", "", "x"]),
    st.dictionaries(
        st.sampled_from(["block_count", "embedding_length", "attention__head_count", "attention__head_count_kv",
                         "attention__key_length", "attention__key_length_mla", "attention__kv_lora_rank",
                         "attention__sliding_window", "attention__sliding_window_pattern", "ssm__inner_size",
                         "ssm__conv_kernel", "shortconv__l_cache", "full_attention_interval",
                         "nextn_predict_layers", "attention__shared_kv_layers", "wkv__head_size"]),
        st.integers(-(2**40), 2**40) | st.integers(0, 300),
    ),
)  # fmt: skip
def test_any_header_gives_layers_or_an_error(arch, numbers):
    try:
        layers = read_layers(metadata(arch, **numbers))
    except SternaError:
        return
    assert 0 <= cache_bytes(layers, 4096) <= cache_bytes(layers, 8192)
