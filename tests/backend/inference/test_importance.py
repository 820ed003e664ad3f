"""Importance matrices collected from a text, against the inputs that an oracle computes."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from oracle_gguf import read
from oracle_llama import OracleLlama
from tiny_families import FAMILIES, make
from tiny_models import tiny_llama

from backend.errors import SternaError
from backend.gguf import open_gguf
from backend.gguf.imatrix import Importance
from backend.inference import collect, load_model
from backend.inference.evaluation import chunks_of

TEXT = "The tern is a small sea bird that flies from pole to pole and back again every year. " * 12


class Watching(OracleLlama):
    """The oracle, keeping the squares of what goes into each matrix."""

    def __init__(self, path):
        super().__init__(path)
        self.squares, self.tokens = {}, 0

    def linear(self, name, x):
        self.squares[name] = self.squares.get(name, 0) + x.double().pow(2).sum(0).numpy()
        return super().linear(name, x)


@pytest.mark.parametrize("threads", [1, 3])
def test_means_are_those_of_the_inputs(tmp_path, threads):
    path = tiny_llama(tmp_path / "x.gguf", context=600, seed=5).path
    model = load_model(path, context=300, threads=threads)
    importance = collect(model, TEXT, dataset="terns", context=280)  # more than a block at once
    oracle, tokens = Watching(path), 0
    for ids in chunks_of(model, TEXT, 280, None):
        oracle.logits(ids)
        tokens += len(ids)
    model.close()
    assert importance.dataset == "terns"
    assert importance.chunks == tokens // 280 >= 2
    oracle.squares.pop("output")
    assert set(importance.entries) == {f"{name}.weight" for name in oracle.squares}
    for name, squares in oracle.squares.items():
        found = importance.entries[f"{name}.weight"][0]
        assert np.allclose(found, squares / tokens, rtol=2e-2, atol=1e-3 * squares.max() / tokens)


@pytest.mark.parametrize("family", ["phi3", "gemma2", "qwen3"])
def test_every_matrix_of_a_layer_has_an_entry(tmp_path, family):
    made = make(tmp_path / "x.gguf", FAMILIES[family])
    with open_gguf(made.path) as file:
        matrices = {n: i.shape for n, i in file.tensors.items() if len(i.shape) == 2 and "blk" in n}
    model = load_model(made.path, context=64)
    importance = collect(model, TEXT, context=64, chunks=1)
    model.close()
    assert set(importance.entries) == set(matrices)
    for name, shape in matrices.items():
        assert importance.of(name, shape).shape == (1, shape[0])
        assert importance.entries[name].min() >= 0


def squares_of_experts(made, ids):
    """What goes into gate and up, and into down, of each expert of each layer: by transformers' own layers."""
    _, weights = read(made.path)
    seen = {}

    def keep(layer):
        return lambda _, inputs: seen.__setitem__(layer, inputs[0].reshape(-1, inputs[0].shape[-1]))

    layers = made.model.model.layers
    hooks = [layer.mlp.register_forward_pre_hook(keep(i)) for i, layer in enumerate(layers)]
    with torch.no_grad():
        made.model(torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    found = {}
    for layer, x in seen.items():
        p = f"blk.{layer}.ffn_"
        chosen = (
            (x @ weights[p + "gate_inp.weight"].value.T)
            .topk(made.config.num_experts_per_tok)
            .indices
        )
        for expert, (gate, up) in enumerate(
            zip(
                weights[p + "gate_exps.weight"].value,
                weights[p + "up_exps.weight"].value,
                strict=True,
            )
        ):
            mine = x[(chosen == expert).any(dim=1)]
            inner = torch.nn.functional.silu(mine @ gate.T) * (mine @ up.T)
            found[layer, expert] = (
                [v.double().pow(2).sum(0).numpy() for v in (mine, inner)],
                len(mine),
            )
    return found


@pytest.mark.parametrize("family", ["mixtral", "qwen2moe"])
def test_each_expert_has_the_mean_of_its_own_tokens(tmp_path, family):
    made = make(tmp_path / "x.gguf", FAMILIES[family])
    model = load_model(made.path, context=300, threads=3)
    chunks = chunks_of(model, TEXT, 271, 2)  # a block of 264 tokens, and the rest
    importance = collect(model, TEXT, context=271, chunks=2)
    model.close()
    parts = [squares_of_experts(made, ids) for ids in chunks]
    for (layer, expert), _ in parts[0].items():
        tokens = sum(part[layer, expert][1] for part in parts)
        assert tokens > 0
        for names, which in ((("gate", "up"), 0), (("down",), 1)):
            wanted = sum(part[layer, expert][0][which] for part in parts) / tokens
            for name in names:
                got = importance.entries[f"blk.{layer}.ffn_{name}_exps.weight"][expert]
                assert np.allclose(got, wanted, rtol=1e-3, atol=1e-5 * wanted.max())


def test_experts_that_have_tensors_of_their_own():
    entry = np.arange(1, 9, dtype=np.float32).reshape(2, 4)
    importance = Importance({"blk.3.ffn_up_exps.weight": entry})
    assert np.allclose(importance.of("blk.3.ffn_up.1.weight", (4, 8)), entry[1] / entry[1].mean())
    assert importance.of("blk.3.ffn_up.2.weight", (4, 8)) is None


def test_one_token_at_a_time_counts_the_same(tmp_path, monkeypatch):
    made = make(tmp_path / "x.gguf", FAMILIES["qwen2moe"])
    found = []
    for block in (264, 1):
        monkeypatch.setattr("backend.inference.model.BLOCK_TOKENS", block)
        model = load_model(made.path, context=64)
        found.append(collect(model, TEXT, context=64, chunks=2).entries)
        model.close()
    for name, entry in found[0].items():
        assert np.allclose(entry, found[1][name], rtol=1e-4)


def test_a_model_is_watched_anew_each_time(tmp_path):
    model = load_model(tiny_llama(tmp_path / "x.gguf").path, context=64)
    once = collect(model, TEXT, context=64, chunks=1).entries["blk.0.attn_q.weight"]
    again = collect(model, TEXT, context=64, chunks=1).entries["blk.0.attn_q.weight"]
    assert np.allclose(once, again)
    with pytest.raises(SternaError) as told:
        collect(model, "A", context=64)
    assert told.value.kind == "text_too_short"
    model.close()


def test_a_cancel_ends_it(tmp_path):
    model = load_model(tiny_llama(tmp_path / "x.gguf").path, context=64)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(collect, model, TEXT * 300, context=64)
        while not running.done():
            model.cancel()
        with pytest.raises(SternaError) as told:
            running.result()
    assert told.value.kind == "cancelled"
    model.close()
