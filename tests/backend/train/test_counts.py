"""Trainable parameters: those published, by peft on the meta device and by our own counting alike."""

import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from backend.errors import SternaError
from backend.train import catalogue, shape
from backend.train.recipe import Technique as Spec
from backend.train.techniques import technique
from backend.train.techniques.technique import count_trainable

QV = ["q_proj", "v_proj"]
BERT_QV = ["query", "value"]


def llama(hidden, layers, ffn, heads, kv=None, vocab=32000, tied=False):
    return {
        "model_type": "llama", "hidden_size": hidden, "num_hidden_layers": layers,
        "intermediate_size": ffn, "num_attention_heads": heads, "vocab_size": vocab,
        "num_key_value_heads": kv or heads, "tie_word_embeddings": tied,
    }  # fmt: skip


def roberta(hidden, layers):
    return {
        "model_type": "roberta", "hidden_size": hidden, "num_hidden_layers": layers,
        "num_attention_heads": hidden // 64, "intermediate_size": 4 * hidden,
        "vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1,
    }  # fmt: skip


BASE, LARGE = roberta(768, 12), roberta(1024, 24)
DEBERTA = {**roberta(1536, 48), "model_type": "deberta-v2", "vocab_size": 128100,
           "relative_attention": True, "num_attention_heads": 24}  # fmt: skip
GPT2_MEDIUM = {"model_type": "gpt2", "n_embd": 1024, "n_layer": 24, "n_head": 16, "vocab_size": 50257,
               "n_positions": 1024}  # fmt: skip
GPT3 = llama(12288, 96, 49152, 96)  # its queries and values have these shapes
LLAMA_7B, LLAMA_13B = llama(4096, 32, 11008, 32), llama(5120, 40, 13824, 40)
LLAMA3_8B = llama(4096, 32, 14336, 32, 8, 128256)
LLAMA32_3B = {**llama(3072, 28, 8192, 24, 8, 128256, tied=True), "head_dim": 128}
QWEN25 = {
    "model_type": "qwen2", "hidden_size": 896, "num_hidden_layers": 24, "intermediate_size": 4864,
    "num_attention_heads": 14, "num_key_value_heads": 2, "vocab_size": 151936,
    "tie_word_embeddings": True,
}  # fmt: skip
BITNET_2B = {
    "model_type": "bitnet", "hidden_size": 2560, "num_hidden_layers": 30, "intermediate_size": 6912,
    "num_attention_heads": 20, "num_key_value_heads": 5, "vocab_size": 128256,
    "tie_word_embeddings": True,
}  # fmt: skip

# model, technique, rank, targets, trainable: from the papers, peft's benchmark and alpaca-lora
PUBLISHED = [
    (BASE, "lora", 1, BERT_QV, 36_864),
    (BASE, "lora", 8, BERT_QV, 294_912),
    (BASE, "lora", 16, BERT_QV, 589_824),
    (BASE, "lora", 256, BERT_QV, 9_437_184),
    (BASE, "vera", 1, BERT_QV, 18_456),
    (BASE, "vera", 16, BERT_QV, 18_816),
    (BASE, "vera", 256, BERT_QV, 24_576),
    (BASE, "vera", 1024, BERT_QV, 43_008),
    (LARGE, "lora", 1, BERT_QV, 98_304),
    (LARGE, "lora", 8, BERT_QV, 786_432),
    (LARGE, "lora", 16, BERT_QV, 1_572_864),
    (LARGE, "lora", 256, BERT_QV, 25_165_824),
    (LARGE, "vera", 1, BERT_QV, 49_200),
    (LARGE, "vera", 16, BERT_QV, 49_920),
    (LARGE, "vera", 256, BERT_QV, 61_440),
    (DEBERTA, "lora", 16, ["query_proj", "value_proj"], 4_718_592),
    (GPT2_MEDIUM, "vera", 1024, ["c_attn"], 98_304),
    (GPT3, "lora", 1, QV, 4_718_592),
    (GPT3, "lora", 8, QV, 37_748_736),
    (GPT3, "lora", 4, QV, 18_874_368),
    (GPT3, "lora-fa", 4, QV, 9_437_184),
    (LLAMA_7B, "lora", 64, "all-linear", 159_907_840),
    (LLAMA_7B, "vera", 1024, "all-linear", 1_589_248),
    (LLAMA_7B, "vera", 256, "all-linear", 1_417_216),
    (LLAMA_13B, "lora", 64, "all-linear", 250_347_520),
    (LLAMA_7B, "lora", 8, QV, 4_194_304),
    (LLAMA_13B, "lora", 8, QV, 6_553_600),
    (LLAMA32_3B, "lora", 32, QV, 9_175_040),
    (LLAMA32_3B, "lora", 64, QV, 18_350_080),
    (LLAMA32_3B, "lora-fa", 32, QV, 3_670_016),
    (LLAMA32_3B, "vera", 256, QV, 129_024),
    (LLAMA32_3B, "sft", 0, "all-linear", 3_212_749_824),
    (LLAMA3_8B, "lora", 16, "all-linear", 41_943_040),
    (LLAMA3_8B, "lora-plus", 16, "all-linear", 41_943_040),
    (LLAMA3_8B, "delta-lora", 16, "all-linear", 41_943_040),
    (QWEN25, "lora", 8, QV, 540_672),
    (QWEN25, "lora", 16, "all-linear", 8_798_208),
    (QWEN25, "vera", 256, "all-linear", 347_136),
    (BITNET_2B, "lora", 16, "all-linear", 21_626_880),
    (BITNET_2B, "vera", 256, "all-linear", 737_280),
    (BITNET_2B, "sft", 0, "all-linear", 2_412_820_480),
]


def name_of(value):
    return value.get("model_type") if isinstance(value, dict) else None


@pytest.mark.parametrize(("config", "name", "rank", "targets", "wanted"), PUBLISHED, ids=name_of)
def test_the_shape_counts_what_is_published(config, name, rank, targets, wanted):
    assert (
        catalogue.trainable(Spec(name=name, rank=rank, targets=targets), shape.config_shape(config))
        == wanted
    )


# One of each family and technique also by the library, for each takes some seconds.
BY_LIBRARY = [row for row in PUBLISHED if row[0] not in (GPT3, DEBERTA, LLAMA_13B)][:40:3]


def built(config):
    with torch.device("meta"):
        return AutoModelForCausalLM.from_config(AutoConfig.for_model(**config))


@pytest.mark.parametrize(("config", "name", "rank", "targets", "wanted"), BY_LIBRARY, ids=name_of)
def test_the_library_counts_the_same(config, name, rank, targets, wanted):
    spec = Spec(name=name, rank=max(rank, 1), alpha=1.0, targets=targets)
    assert count_trainable(technique(spec).attach(built(config))) == wanted


FAMILIES = [
    ("llama", {"attention_bias": True, "mlp_bias": True}),
    ("mistral", {}),
    ("smollm3", {"pad_token_id": 0}),
    ("granite", {}),
    ("qwen2", {}),
    ("qwen3", {"head_dim": 24}),
    ("qwen3_moe", {"num_experts": 5, "num_experts_per_tok": 2, "moe_intermediate_size": 40}),
    ("mixtral", {"num_local_experts": 5, "num_experts_per_tok": 2}),
    ("gemma", {"head_dim": 24}),
    ("gemma2", {"head_dim": 24}),
    ("gemma3_text", {"head_dim": 24}),
    ("bitnet", {}),
    ("phi3", {"pad_token_id": 0}),
    ("gpt2", {}),
]


@pytest.mark.parametrize(("kind", "more"), FAMILIES, ids=[row[0] for row in FAMILIES])
@pytest.mark.parametrize("tied", [False, True])
def test_every_family_has_the_parameters_and_matrices_of_the_library(kind, more, tied):
    config = {
        "model_type": kind, "hidden_size": 64, "num_hidden_layers": 3, "intermediate_size": 96,
        "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": 128,
        "max_position_embeddings": 32, "tie_word_embeddings": tied, **more,
    }  # fmt: skip
    if kind == "gpt2":
        config = {"model_type": "gpt2", "n_embd": 64, "n_layer": 3, "n_head": 4, "vocab_size": 128,
                  "n_positions": 32, "n_inner": None, "tie_word_embeddings": tied}  # fmt: skip
    model = built(config)
    ours = shape.config_shape(json.loads(json.dumps(config)))
    assert ours.params == sum(p.numel() for p in model.parameters())
    found = {}
    for path, module in model.named_modules():
        if type(module).__name__ in ("Linear", "Conv1D") and path != "lm_head":
            leaf = path.rpartition(".")[2]
            found[leaf] = found.get(leaf, 0) + module.weight.numel()
    mine = {}
    for m in ours.matrices:
        mine[m.module] = mine.get(m.module, 0) + m.weights
    assert mine == found


@pytest.mark.parametrize("kind", ["llama", "qwen2", "gemma", "phi3"])
def test_whether_embeddings_are_tied_is_known_where_it_is_not_told(kind):
    config = {**llama(64, 2, 96, 4, 4, 128), "model_type": kind, "head_dim": 16, "pad_token_id": 0}
    del config["tie_word_embeddings"]
    assert shape.config_shape(config).params == sum(p.numel() for p in built(config).parameters())


@pytest.mark.parametrize(
    ("wrong", "kind"),
    [
        ({"model_type": "no-such-thing"}, "unsupported_arch"),
        ({}, "unsupported_arch"),
        ({"model_type": ["llama"]}, "unsupported_arch"),
        ({**LLAMA_7B, "hidden_size": -1}, "corrupt"),
        ({**LLAMA_7B, "hidden_size": 1 << 60}, "corrupt"),
        ({**LLAMA_7B, "num_hidden_layers": "many"}, "corrupt"),
        ({**LLAMA_7B, "num_attention_heads": True}, "corrupt"),
        ({"model_type": "llama"}, "corrupt"),
    ],
)
def test_nonsense_is_refused(wrong, kind):
    with pytest.raises(SternaError) as error:
        shape.config_shape(wrong)
    assert error.value.kind == kind


def test_unknown_targets_are_refused_with_those_there_are():
    with pytest.raises(SternaError, match="W_q") as error:
        shape.chosen(shape.config_shape(LLAMA_7B), ["W_q", "q_proj"])
    assert error.value.kind == "bad_targets"
    assert "q_proj" in error.value.hint
