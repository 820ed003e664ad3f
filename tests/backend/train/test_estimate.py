"""What is told before a run, against what PyTorch keeps and what the system says a run took."""

from dataclasses import replace

import pytest
import torch
from ggufs import tiny_llama
from running import make_run, write_rows
from transformers import MixtralConfig, MixtralForCausalLM
from tuning import SHAPE, tiny

from backend.machine import GPU, read_machine
from backend.train import costs, place, speed
from backend.train import recipe as recipes
from backend.train.estimate import Sequences, estimate, reached
from backend.train.looking import look, sequences
from backend.train.place import Place
from backend.train.recipe import Base, Data, Recipe, Schedule
from backend.train.recipe import Technique as Spec
from backend.train.run import child
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


EXPERTS = {"num_local_experts": 4, "num_experts_per_tok": 2}


def tiny_wide(layers, dtype):
    return tiny(num_hidden_layers=layers, dtype=dtype, **WIDE)


def mixture(layers, dtype):
    """Return a tiny mixture of experts, whose routers choose as they were drawn."""
    torch.manual_seed(0)
    config = MixtralConfig(
        **{**SHAPE, **WIDE, "num_hidden_layers": layers}, experts_implementation="eager", **EXPERTS
    )
    return MixtralForCausalLM(config).to(dtype)


def kept(spec: Spec, layers: int, ids, mixed: bool, make=tiny_wide) -> int:
    """Return the bytes that a forward pass keeps for its backward pass; each storage once."""
    torch.manual_seed(0)
    way = technique(spec)
    frozen = mixed and spec.name != "sft"
    dtype = torch.bfloat16 if frozen else torch.float32
    base = make(layers, dtype).requires_grad_(not frozen)
    model = way.attach(base)
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

    with (
        torch.autocast("cpu", torch.bfloat16, enabled=mixed),
        torch.autograd.graph.saved_tensors_hooks(pack, lambda t: t),
    ):
        loss = model(input_ids=ids, labels=ids).loss
    assert loss.isfinite()
    return sum(found.values())


@pytest.mark.parametrize("mixed", [False, True], ids=["float32", "mixed"])
@pytest.mark.parametrize("name", TECHNIQUES)
def test_what_a_layer_keeps_is_what_pytorch_keeps(name, mixed):
    spec = Spec(**{"rank": 8, "alpha": 16.0, "targets": "all-linear", **TECHNIQUES[name]})
    few, many = (torch.randint(0, 64, (2, length)) for length in (16, 64))
    # what grows with the tokens: copies of weights do not
    rows = {
        ids.numel(): kept(spec, 5, ids, mixed) - kept(spec, 2, ids, mixed) for ids in (few, many)
    }
    measured = (rows[128] - rows[32]) / 3
    shape = config_shape({**SHAPE, **WIDE, "model_type": "llama", "num_hidden_layers": 2})
    keeps = costs.layer_keeps(shape, spec, mixed=mixed)
    if mixed and spec.dropout:  # on a processor masks are floats, whatever is computed in
        keeps = replace(keeps, mask_bytes=4 * keeps.mask_bytes)
    told = 96 * keeps.bytes
    assert told == pytest.approx(measured, rel=0.12)


def test_what_a_layer_of_experts_keeps_is_what_pytorch_keeps():
    spec = Spec(name="lora", rank=8, alpha=16.0, targets=["q_proj", "k_proj", "v_proj", "o_proj"])
    few, many = (torch.randint(0, 64, (2, length)) for length in (16, 64))
    rows = {
        ids.numel(): kept(spec, 5, ids, False, mixture) - kept(spec, 2, ids, False, mixture)
        for ids in (few, many)
    }
    said = {**SHAPE, **WIDE, **EXPERTS, "model_type": "mixtral", "num_hidden_layers": 2}
    told = 96 * costs.layer_keeps(config_shape(said), spec).bytes
    assert told == pytest.approx((rows[128] - rows[32]) / 3, rel=0.12)


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


def test_time_counts_evaluations_and_samples(home, tmp_path):
    base = tiny_llama(tmp_path / "tiny.gguf", hidden=64, ffn=128).path
    recipe = recipes.load(make_run(tmp_path / "run", base, tmp_path / "rows.jsonl").recipe)
    shape, data = shape_of(find(str(base), "shape")), Sequences(100, 50, 40)
    speed.remember(1, 1e9)
    plain = estimate(recipe, shape, data).seconds
    recipe.data.validation = 0.5
    evaluated = estimate(recipe, shape, data).seconds
    recipe.watch.evaluate_every = recipe.schedule.max_steps
    assert plain < estimate(recipe, shape, data).seconds < evaluated
    recipe.watch.sample_every = 6
    assert estimate(recipe, shape, data).seconds > plain + 2 * 2 * 48 * shape.layers * 0.004


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
    assert (
        child.start(run).wait() == 0
    )  # as a person's runs are started: memory is the C library's too
    done = read_all(folders.RunFolder(run.path).events)[-1]
    assert done["event"] == "done"
    assert told.peak_memory == pytest.approx(done["peak"], rel=0.15)


GIB = 1 << 30


def test_where_memory_is_short_less_of_it_is_reckoned_with(home):
    shape = config_shape({**SHAPE, **WIDE, "model_type": "llama", "num_hidden_layers": 24})
    recipe = Recipe(base=Base(model="m", device="cpu"), data=Data(path=""))
    data = Sequences(100, 512, 512)
    roomy = estimate(recipe, shape, data, available=64 * GIB)
    assert roomy.roomy
    short = estimate(recipe, shape, data, available=roomy.peak_memory - 1)
    assert short.fits
    assert not short.roomy
    assert short.peak_memory < roomy.peak_memory


def test_on_a_graphics_card_its_own_memory_counts_and_weights_are_halves(home):
    big = {
        "hidden_size": 2048, "intermediate_size": 8192, "num_attention_heads": 16,
        "num_key_value_heads": 4, "num_hidden_layers": 16, "vocab_size": 32_000,
    }  # fmt: skip
    shape = config_shape({**SHAPE, **big, "model_type": "llama"})
    recipe = Recipe(base=Base(model="m"), data=Data(path=""))
    data = Sequences(100, 512, 512)
    card, processor = Place("cuda", 20 * GIB, "card"), Place("cpu", 4 * GIB)
    there, here = (estimate(recipe, shape, data, place=p) for p in (card, processor))
    assert there.weights * 2 == here.weights == 4 * shape.params
    assert there.available == 20 * GIB
    assert there.fits
    assert not here.fits
    assert there.largest_batch > here.largest_batch == 0
    speed.remember("card", 1e15)
    assert estimate(recipe, shape, data, place=card).seconds < there.seconds


@pytest.mark.parametrize(
    ("device", "gpu", "build", "kind"),
    [
        ("auto", "nvidia", "2.13.0", "cuda"),
        ("auto", "nvidia", "2.13.0+cpu", "cpu"),
        ("cpu", "nvidia", "2.13.0", "cpu"),
        ("auto", "apple", "2.13.0", "cpu"),
        ("auto", None, "2.13.0", "cpu"),
    ],
)
def test_where_a_run_computes_is_told_by_card_and_build(
    home, monkeypatch, device, gpu, build, kind
):
    found = read_machine()
    gpus = (GPU("card", gpu, 8 * GIB, 6 * GIB, "probe", shared=gpu == "apple"),) if gpu else ()
    monkeypatch.setattr(place, "read_machine", lambda: replace(found, gpus=gpus))
    monkeypatch.setattr(place, "version", lambda _: build)
    said = place.place_of(Recipe(base=Base(model="m", device=device), data=Data(path="")))
    assert said.kind == kind
    assert kind == "cpu" or 5 * GIB < said.free < 6 * GIB


H100 = [  # peak bytes by torch.cuda.max_memory_allocated, PyTorch 2.11, rows of 512 tokens, in MB
    ("lora", {}, {}, {}, 3650),
    ("lora-fa", {}, {}, {}, 2785),
    ("vera", {}, {}, {}, 4100),
    ("lora-plus", {}, {}, {}, 3650),
    ("delta-lora", {}, {}, {}, 3707),
    ("lora", {"gradient_checkpointing": True, "batch": 8}, {}, {}, 1484),
    ("lora", {}, {"dropout": 0.1}, {}, 4063),
    ("lora", {"batch": 16}, {}, {}, 11547),
    ("lora-fa", {"batch": 16}, {}, {}, 8165),
    ("lora", {}, {}, {"load_in_4bit": True}, 2790),
    ("delta-lora", {}, {}, {"load_in_4bit": True}, 2805),
    ("sft", {}, {}, {"dtype": "float32"}, 10772),
]


@pytest.mark.parametrize(("name", "schedule", "more", "base", "measured"), H100)
def test_peaks_that_were_measured_on_a_card_are_told(home, name, schedule, more, base, measured):
    shape = config_shape({
        "model_type": "llama", "hidden_size": 1024, "intermediate_size": 4096, "vocab_size": 32_000,
        "num_attention_heads": 16, "num_key_value_heads": 8, "num_hidden_layers": 20,
        "tie_word_embeddings": False,
    })  # fmt: skip
    recipe = Recipe(
        base=Base(model="m", **base),
        data=Data(path="", max_length=512),
        technique=Spec(name=name, **more),
        schedule=Schedule(**{"batch": 4, **schedule}),
    )
    place = Place("cuda", 80 * GIB, "H100")
    told = estimate(recipe, shape, Sequences(64, 512, 512), place=place).peak_memory
    assert told == pytest.approx(measured * 1e6, rel=0.15)
