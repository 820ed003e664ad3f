"""What is told before a run, against what PyTorch keeps and what the system says a run took."""

import pytest
import torch
from ggufs import tiny_llama
from running import make_run, train, write_rows
from tuning import SHAPE, tiny

from backend.train import costs, speed
from backend.train import recipe as recipes
from backend.train.estimate import estimate, reached
from backend.train.looking import look, sequences
from backend.train.recipe import Technique as Spec
from backend.train.run import folder as folders
from backend.train.run.events import read_all
from backend.train.shape import config_shape
from backend.train.source import find, shape_of
from backend.train.techniques import technique

TECHNIQUES = {
    "lora": {"name": "lora"},
    "lora dropout": {"name": "lora", "dropout": 0.1},
    "lora q v": {"name": "lora", "targets": ["q_proj", "v_proj"]},
    "dora": {"name": "lora", "dora": True},
    "lora-fa": {"name": "lora-fa"},
    "vera": {"name": "vera"},
    "lora-plus": {"name": "lora-plus"},
    "delta-lora": {"name": "delta-lora"},
    "sft": {"name": "sft"},
}
WIDE = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
}


def kept(spec: Spec, layers: int, ids) -> int:
    """Return the bytes that a forward pass keeps for its backward pass; each storage once."""
    torch.manual_seed(0)
    way = technique(spec)
    model = way.attach(tiny(num_hidden_layers=layers, **WIDE))
    model.train()
    own = {p.untyped_storage().data_ptr() for p in (*model.parameters(), *model.buffers())}
    found: dict[int, int] = {}
    alive = []

    def pack(tensor):
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in own:
            found[storage.data_ptr()] = storage.nbytes()
            alive.append(storage)  # or its place might be given to another
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t):
        loss = model(input_ids=ids, labels=ids).loss
    assert loss.isfinite()
    return sum(found.values())


@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_a_layer_keeps_is_what_pytorch_keeps(name):
    spec = Spec(**{"rank": 8, "alpha": 16.0, "targets": "all-linear", **TECHNIQUES[name]})
    ids = torch.randint(0, 64, (2, 48))
    measured = (kept(spec, 5, ids) - kept(spec, 2, ids)) / 3
    shape = config_shape({**SHAPE, **WIDE, "model_type": "llama", "num_hidden_layers": 2})
    layer = costs.layer_floats(shape, spec)
    told = ids.numel() * (layer.floats * 4 + layer.mask_bytes)
    assert told == pytest.approx(measured, rel=0.12)


def test_more_rows_and_longer_ones_take_more_and_the_largest_batch_fits(home, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=64, ffn=128).path
    rows = write_rows(tmp_path / "notes.jsonl")
    recipe = recipes.load(make_run(tmp_path / "run", base, rows).recipe)
    shape = shape_of(find(str(base), "shape"))
    data = sequences(look(recipe, 0, None))
    made = estimate(recipe, shape, data, available=1 << 30)
    largest = made.largest_batch
    for batch, fits in ((largest, True), (largest + 1, False)):
        recipe.schedule.batch = batch
        assert estimate(recipe, shape, data, available=1 << 30).fits is fits


def test_time_is_told_by_what_runs_reached(home, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=64, ffn=128).path
    recipe = recipes.load(make_run(tmp_path / "run", base, write_rows(tmp_path / "a.jsonl")).recipe)
    shape = shape_of(find(str(base), "shape"))
    data = sequences(look(recipe, 0, None))
    steps = 200
    recipe.schedule.max_steps = steps
    tokens = round(steps * recipe.schedule.batch * data.mean)
    made = estimate(recipe, shape, data)
    rate = reached(recipe, shape, made.trainable_parameters, tokens, steps, 50.0)
    for _ in range(3):
        speed.remember(1, rate)
    told = estimate(recipe, shape, data)
    recipe.schedule.max_steps = 2 * steps
    assert estimate(recipe, shape, data).seconds - told.seconds == pytest.approx(50.0, rel=0.02)
    assert reached(recipe, shape, 1, tokens, steps, 1e-3) is None  # nothing but overhead


@pytest.mark.long
@pytest.mark.timeout(900)
@pytest.mark.parametrize("name", ["lora", "lora-fa", "vera", "lora-plus", "delta-lora", "sft"])
def test_the_peak_is_within_fifteen_hundredths_of_what_was_told(home, tmp_path, name):
    base = tiny_llama(tmp_path / "base.gguf", hidden=512, ffn=1536, layers=8, context=1024).path
    rows = tmp_path / "rows.txt"
    rows.write_text(
        "\n\n".join(f"{i} " + "a ring of red and green things " * 60 for i in range(24))
    )
    run = make_run(
        tmp_path / "run",
        base,
        rows,
        technique={"name": name, "rank": 256 if name == "vera" else 16},
        schedule={"max_steps": 3, "batch": 4},
        data={"max_length": 512},
    )
    recipe = recipes.load(run.recipe)
    told = estimate(recipe, shape_of(find(str(base), "shape")), sequences(look(recipe, 0, None)))
    train(run)
    done = read_all(folders.RunFolder(run.path).events)[-1]
    assert done["event"] == "done"
    assert told.peak_memory == pytest.approx(done["peak"], rel=0.15)
