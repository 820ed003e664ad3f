"""The loss: what is learned, what is not, and that neither batches nor packing change it."""

import pytest
import torch
from datasets import Dataset
from ggufs import tiny_llama
from running import make_run, of, train, write_rows
from transformers import PreTrainedTokenizerFast
from trl.trainer.sft_config import SFTConfig
from tuning import attached, tiny

from backend.train.loop.trainer import Tuner

LENGTHS = (5, 12, 9, 3, 14, 7, 11, 6)


def rows(prompt=2, lengths=LENGTHS):
    generator = torch.Generator().manual_seed(3)
    made = []
    for n in lengths:
        ids = torch.randint(4, 64, (n,), generator=generator).tolist()
        made.append({"input_ids": ids, "labels": [-100] * prompt + ids[prompt:]})
    return Dataset.from_list(made)


def tuner(tmp_path, data, *, name="lora", dtype=torch.float32, **options):
    torch.set_num_threads(1)
    way, model = attached(name, base=tiny(dtype=dtype), **options.pop("technique", {}))
    from tokenizers import Tokenizer, models

    words = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel({str(i): i for i in range(64)}, unk_token="0")),
        pad_token="0",
        eos_token="1",
    )
    settings = {
        "output_dir": str(tmp_path), "report_to": "none", "use_cpu": True, "bf16": False,
        "gradient_checkpointing": False, "max_length": None, "per_device_train_batch_size": 4,
        "learning_rate": 1e-3, "max_steps": 1, "save_strategy": "no", "disable_tqdm": True,
        "max_grad_norm": 0.0, "seed": 0, **options,
    }  # fmt: skip
    return Tuner(
        model=model, args=SFTConfig(**settings), train_dataset=data, processing_class=words,
        technique=way, told=lambda *_: None, keep=1,
    )  # fmt: skip


def gradients(made):
    """Train one step and return the accumulated gradients as the optimizer would see them."""
    seen = {}

    def note(model):
        seen.update({n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None})

    made.technique.before_step = note
    made.train()
    return seen


@pytest.mark.parametrize("checkpointing", [False, True])
def test_four_batches_of_one_are_one_batch_of_four(tmp_path, checkpointing):
    data = rows(lengths=LENGTHS[:4])
    one = gradients(tuner(tmp_path, data, per_device_train_batch_size=4))
    four = gradients(
        tuner(
            tmp_path,
            data,
            per_device_train_batch_size=1,
            gradient_accumulation_steps=4,
            gradient_checkpointing=checkpointing,
        )
    )
    assert one.keys() == four.keys()
    largest = max(g.abs().max() for g in one.values())
    assert largest > 1e-3
    assert max((one[k] - four[k]).abs().max() for k in one) <= 1e-6 * max(1, largest)


def test_packed_rows_do_not_see_each_other(tmp_path):
    data = rows()
    made = tuner(tmp_path, data, packing=True, max_length=32, per_device_train_batch_size=1)
    model = made.model.eval()
    alone = {}
    for row in data:
        ids = torch.tensor([row["input_ids"]])
        with torch.no_grad():
            alone[tuple(row["input_ids"])] = model(input_ids=ids).logits[0]
    found = 0
    for batch in made.get_train_dataloader():
        batch.pop("labels")
        with torch.no_grad():
            logits = model(**batch).logits[0]
        starts = (batch["position_ids"][0] == 0).nonzero().flatten().tolist()
        for a, b in zip(starts, [*starts[1:], len(logits)], strict=True):
            key = tuple(batch["input_ids"][0, a:b].tolist())
            if key in alone:
                found += 1
                assert (logits[a:b] - alone[key]).abs().max() < 1e-5
    assert found == len(data)
    assert len(made.train_dataset) < len(data)


def test_packing_gives_the_gradient_of_the_same_rows(tmp_path):
    data = rows(lengths=(5, 12, 9))
    apart = gradients(tuner(tmp_path, data, per_device_train_batch_size=3))
    packed = gradients(
        tuner(tmp_path, data, packing=True, max_length=32, per_device_train_batch_size=1)
    )
    for key, wanted in apart.items():
        assert (packed[key] - wanted).abs().max() <= 1e-5 * max(1, wanted.abs().max())


def test_only_what_is_to_be_learned_has_a_gradient(tmp_path):
    data = rows(prompt=3, lengths=(8, 12))
    made = tuner(tmp_path, data, per_device_train_batch_size=2)
    batch = next(iter(made.get_train_dataloader()))
    seen = []
    norm = made.model.base_model.model.model.norm
    norm.register_forward_hook(lambda *a: (a[2].retain_grad(), seen.append(a[2]))[1])
    made.model.train()
    made.compute_loss(made.model, dict(batch)).backward()
    by_position = seen[0].grad.abs().sum(-1)
    learned = torch.zeros_like(by_position, dtype=torch.bool)
    learned[:, :-1] = batch["labels"][:, 1:] != -100
    assert torch.all(by_position[~learned] == 0)
    assert torch.all(by_position[learned] > 0)  # the last token, which ends the turn, among them


def test_labels_of_the_prompt_change_nothing_and_those_of_the_answer_do(tmp_path):
    data = rows(prompt=3, lengths=(8, 12))
    made = tuner(tmp_path, data, per_device_train_batch_size=2)
    batch = next(iter(made.get_train_dataloader()))
    loss = made.compute_loss(made.model, dict(batch)).item()
    # in a plain computation: only positions with labels count
    with torch.no_grad():
        out = made.model(
            input_ids=batch["input_ids"], attention_mask=batch["attention_mask"]
        ).logits
    labels = batch["labels"]
    plain = torch.nn.functional.cross_entropy(
        out[:, :-1].reshape(-1, 64), labels[:, 1:].reshape(-1), ignore_index=-100
    )
    assert loss == pytest.approx(plain.item(), rel=1e-5)
    other = labels.clone()
    other[:, 5] = (other[:, 5] + 1) % 64
    assert made.compute_loss(made.model, {**batch, "labels": other}).item() != loss


@pytest.mark.parametrize("name", ["lora", "lora-fa", "vera", "lora-plus", "delta-lora", "sft"])
def test_each_technique_overfits_one_batch(tmp_path, name):
    options = {
        "vera": {"technique": {"rank": 64}, "learning_rate": 5e-2},
        "delta-lora": {"technique": {"start_step": 20}},
        "lora-fa": {"learning_rate": 2e-2},
        "lora-plus": {"learning_rate": 3e-3},
        "sft": {"learning_rate": 1e-2},
    }.get(name, {})
    made = tuner(
        tmp_path, rows(lengths=(8, 8)), name=name, max_steps=100,
        **{"learning_rate": 1e-2, "lr_scheduler_type": "linear", "logging_steps": 1, **options},
    )  # fmt: skip
    with torch.no_grad():  # a frozen head of small weights could never be sure of anything
        made.plain_model.get_output_embeddings().weight *= 30
    made.train()
    losses = [e["loss"] for e in made.state.log_history if "loss" in e]
    assert losses[-1] < 0.1 < losses[0]


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    path = tmp_path_factory.mktemp("base") / "tiny.gguf"
    tiny_llama(path)
    return path


def test_what_was_held_back_improves_and_shuffled_answers_teach_nothing(base, tmp_path):
    truth = write_rows(tmp_path / "truth.jsonl", 60)
    held = write_rows(tmp_path / "held.jsonl", 12)
    nonsense = write_rows(tmp_path / "nonsense.jsonl", 60, shuffled=True)
    ends = {}
    for name, rows_ in (("truth", truth), ("nonsense", nonsense)):
        run = make_run(
            tmp_path / name, base, rows_, data={"validation_path": str(held)},
            technique={"rank": 16}, schedule={"max_steps": 60, "batch": 16, "learning_rate": 5e-3},
            watch={"evaluate_every": 60},
        )  # fmt: skip
        events = train(run)
        losses = [e["loss"] for e in of(events, "eval")]
        ends[name] = losses[-1]
        steps = [e["loss"] for e in of(events, "step")]
        assert steps[-1] < 0.7 * steps[0]
        assert losses[-1] < losses[0]  # the base; of nonsense, at least the form is learned
    # a third of the answers are red, green and blue: without the rule each costs ln 3 / 5 tokens more
    assert ends["truth"] < 0.2
    assert ends["nonsense"] > ends["truth"] + 0.2
