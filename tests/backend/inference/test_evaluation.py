"""Perplexity, divergence and agreement, against their formulas over the model's own logits."""

import threading

import numpy as np
import pytest
from tiny_models import tiny_llama

from backend.errors import SternaError
from backend.gguf.quantising import quantise
from backend.inference import evaluate, load_model

TEXT = "The tern is a small sea bird that flies from pole to pole and back again every year. " * 30


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """A model and a coarse quant of it."""
    folder = tmp_path_factory.mktemp("eval")
    full = tiny_llama(folder / "f16.gguf", hidden=256, ffn=512, tensor_type="F16",
                      metadata={"tokenizer.ggml.add_bos_token": True})  # fmt: skip
    coarse = quantise(full.path, "Q2_K", folder / "q2.gguf")
    models = load_model(full.path, context=64), load_model(coarse.path, context=64)
    yield models
    for model in models:
        model.close()


def log_softmax(logits):
    wide = logits.astype(np.float64)
    return (
        wide
        - np.log(np.exp(wide - wide.max(1, keepdims=True)).sum(1, keepdims=True))
        - wide.max(1, keepdims=True)
    )


def by_hand(model, context, other=None):
    tokenizer = model.tokenizer
    ids = [tokenizer.bos_id, *tokenizer.encode(TEXT)]
    losses, divergences, agreed = [], [], []
    for at in range(0, len(ids) - context + 1, context):
        chunk = [tokenizer.bos_id, *ids[at + 1 : at + context]]
        ours = log_softmax(model.logits(chunk))
        theirs = log_softmax(other.logits(chunk)) if other else ours
        for i in range(context // 2, context - 1):
            losses.append(-ours[i, chunk[i + 1]])
            divergences.append((np.exp(theirs[i]) * (theirs[i] - ours[i])).sum())
            agreed.append(theirs[i].argmax() == ours[i].argmax())
    return len(losses), np.exp(np.mean(losses)), np.mean(divergences), np.mean(agreed)


@pytest.mark.parametrize("context", [64, 33, 8])
def test_perplexity_is_that_of_the_second_halves(pair, context):
    result = evaluate(pair[0], TEXT, context=context)
    tokens, perplexity, _, _ = by_hand(pair[0], context)
    assert result.tokens == tokens
    assert result.perplexity == pytest.approx(perplexity, rel=1e-9)
    assert result.kl_mean is None
    assert 0 < result.perplexity_error < perplexity


def test_divergence_and_agreement_are_those_from_the_second_model(pair):
    full, coarse = pair
    result = evaluate(coarse, TEXT, against=full, context=64)
    tokens, perplexity, divergence, agreement = by_hand(coarse, 64, full)
    assert result.tokens == tokens
    assert result.perplexity == pytest.approx(perplexity, rel=1e-9)
    assert result.kl_mean == pytest.approx(divergence, rel=1e-9)
    assert result.top1_agreement == pytest.approx(agreement)
    assert result.kl_mean > 0.01
    assert result.top1_agreement < 1


def test_a_model_is_nearest_to_itself(pair):
    result = evaluate(pair[0], TEXT, against=pair[0], context=64)
    assert result.kl_mean == 0
    assert result.top1_agreement == 1


def test_blocks_of_logits_are_the_logits(tmp_path):
    model = load_model(tiny_llama(tmp_path / "x.gguf", context=1024).path, context=700)
    ids = list(range(3, 203)) * 3
    whole = model.logits(ids)
    for start in (0, 1, 263, 264, 300, 599):
        rest = np.concatenate(list(model.logits_after(ids, start)))
        assert rest.shape == (600 - start, model.vocab_size)
        assert np.allclose(rest, whole[start:], atol=1e-5)
    model.close()


def test_progress_counts_the_tokens_of_both_models(pair):
    told = []
    evaluate(pair[1], TEXT, against=pair[0], context=32, chunks=3, report=told.append)
    assert told[-1].done == told[-1].total == 3 * 32 * 2
    assert told[-1].unit == "tokens"


def test_short_texts_are_one_chunk_or_refused(pair):
    result = evaluate(pair[0], "A tern flies from pole to pole.", context=64)
    assert result.chunks == 1
    assert 8 <= result.context < 64
    with pytest.raises(SternaError) as told:
        evaluate(pair[0], "A", context=64)
    assert told.value.kind == "text_too_short"
    with pytest.raises(SternaError) as told:
        evaluate(pair[0], TEXT, context=65)
    assert told.value.kind == "bad_argument"


def test_models_of_other_vocabularies_are_not_compared(pair, tmp_path):
    other = load_model(tiny_llama(tmp_path / "x.gguf", vocab="spm").path, context=64)
    with pytest.raises(SternaError) as told:
        evaluate(pair[0], TEXT, against=other, context=64)
    assert told.value.kind == "other_vocabulary"
    other.close()


def test_a_cancel_ends_it(pair):
    started, ended = threading.Event(), threading.Event()

    def keep_cancelling():  # between two runs a cancel is forgotten; within a run it ends it
        started.wait()
        while not ended.is_set():
            pair[0].cancel()

    stopper = threading.Thread(target=keep_cancelling)
    stopper.start()
    try:
        with pytest.raises(SternaError) as told:
            evaluate(pair[0], TEXT * 200, context=64, report=lambda _: started.set())
    finally:
        started.set()
        ended.set()
        stopper.join()
    assert told.value.kind == "cancelled"
