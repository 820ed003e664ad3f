"""Whole files from quantise: what they hold, what is refused, and what is left when it is stopped."""

import gguf
import numpy as np
import pytest
from gguf_writing import write_gguf
from tiny_models import tiny_bitnet, tiny_llama

from backend import quants
from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.gguf.imatrix import Importance, is_imatrix, read_imatrix, write_imatrix
from backend.gguf.quantising import default_path, makeable, planned_bytes, quantise
from backend.inference import load_model


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    """A model whose rows fill every block."""
    path = tmp_path_factory.mktemp("wide") / "tiny-F16.gguf"
    return tiny_llama(path, hidden=256, ffn=512, tensor_type="F16")


@pytest.fixture
def tiny(tmp_path):
    return tiny_llama(tmp_path / "tiny-F16.gguf", tensor_type="F16")


def listing(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.mark.parametrize("quant", makeable())
def test_every_quant_is_written_and_runs(wide, tmp_path, quant):
    made = quantise(wide.path, quant, tmp_path / "out.gguf")
    with open_gguf(wide.path) as source, open_gguf(made.path) as file:
        assert made.bytes == made.path.stat().st_size == planned_bytes(source, quant)
        card = describe(file)
        assert card.quant == quant
        assert made.bits_per_weight == card.bits_per_weight
        assert file.integer("general.file_type") == quants.file_type(quant)
        assert list(file.tensors) == list(source.tensors)
        for key, value in source.encoded_metadata().items():
            if key != "general.file_type":
                assert file.encoded_metadata()[key] == value
    reader = gguf.GGUFReader(made.path)
    for tensor in reader.tensors:
        meant = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(-1)
        true = wide.weights[tensor.name].reshape(-1)
        allowed = 0.5 if "TQ" in quant else 0.3  # random weights in three levels
        assert np.sqrt(np.mean((meant - true) ** 2) / np.mean(true**2)) < allowed
    if "TQ" not in quant:  # whose rows differ in scale here, as no trained ternary model's do
        ids = list(range(3, 40))
        ours, theirs = load_model(made.path), load_model(wide.path)
        bits = min(made.bits_per_weight, 8)
        off = np.abs(ours.logits(ids) - theirs.logits(ids)).mean() / theirs.logits(ids).std()
        assert off < 2.0 ** (3.2 - bits)
        ours.close()
        theirs.close()


def test_the_wider_the_better(wide, tmp_path):
    """Error falls with bits."""
    errors = []
    for quant in ("Q2_K", "Q3_K_S", "Q4_K_S", "Q5_K_S", "Q6_K", "Q8_0"):
        made = quantise(wide.path, quant, tmp_path / "out.gguf")
        reader = gguf.GGUFReader(made.path)
        tensor = next(t for t in reader.tensors if t.name == "blk.1.attn_q.weight")
        meant = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
        errors.append(float(np.square(meant - wide.weights[tensor.name]).mean()))
    assert errors == sorted(errors, reverse=True)


def test_rows_that_fill_no_block_of_256(tiny, tmp_path):
    made = quantise(tiny.path, "Q4_K_M", tmp_path / "out.gguf")
    with open_gguf(made.path) as file:
        types = {info.type_name for info in file.tensors.values()}
        assert types == {"F32", "Q5_0", "Q8_0"}
        assert describe(file).quant == "Q5_0"  # which is what it came to
    model = load_model(made.path)
    model.close()


def test_a_quantised_source_needs_a_word(wide, tmp_path):
    once = quantise(wide.path, "Q8_0", tmp_path / "once.gguf")
    with pytest.raises(SternaError) as told:
        quantise(once.path, "Q4_K_M", tmp_path / "twice.gguf")
    assert told.value.kind == "already_quantised"
    assert "--requantize" in told.value.hint
    assert listing(tmp_path) == ["once.gguf"]
    twice = quantise(once.path, "Q4_K_M", tmp_path / "twice.gguf", requantise=True)
    assert twice.bytes < once.bytes
    same = quantise(once.path, "Q8_0", tmp_path / "same.gguf")
    assert same.path.read_bytes() == once.path.read_bytes()


def test_ternary_weights_change_their_layout_without_loss(tmp_path):
    model = tiny_bitnet(tmp_path / "a.gguf", tensor_type="TQ2_0")
    made = quantise(model.path, "TQ1_0", tmp_path / "b.gguf")
    with open_gguf(made.path) as file:
        assert describe(file).quant == "TQ1_0"
    for tensor in gguf.GGUFReader(made.path).tensors:
        if "blk" in tensor.name and len(tensor.shape) > 1:
            meant = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
            assert (meant == model.weights[tensor.name]).all()


def test_a_split_source_becomes_one_file(wide, tmp_path):
    with open_gguf(wide.path) as source:
        names = list(source.tensors)
        metadata = dict(wide.metadata)
    half = len(names) // 2
    for number, part in enumerate((names[:half], names[half:])):
        split = {"split.no": number, "split.count": 2, "split.tensors.count": len(names)}
        tensors = {
            name: wide.weights[name].astype(np.float16 if wide.weights[name].ndim > 1 else np.float32)
            for name in part
        }  # fmt: skip
        write_gguf(
            tmp_path / f"m-0000{number + 1}-of-00002.gguf",
            {**(metadata if not number else {"general.architecture": "llama"}), **split},
            tensors,
        )
    made = quantise(tmp_path / "m-00001-of-00002.gguf", "Q6_K", tmp_path / "whole.gguf")
    whole = quantise(wide.path, "Q6_K", tmp_path / "other.gguf")
    with open_gguf(made.path) as file, open_gguf(whole.path) as other:
        assert not [key for key in file.metadata if key.startswith("split.")]
        for name in names:
            assert (file.data(name) == other.data(name)).all()


def test_a_stopped_job_leaves_nothing(wide, tmp_path):
    def stop(progress):
        if progress.done > progress.total / 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        quantise(wide.path, "Q4_K_M", tmp_path / "out.gguf", report=stop)
    assert listing(tmp_path) == []


def test_progress_reaches_the_end(wide, tmp_path):
    told = []
    quantise(wide.path, "Q4_0", tmp_path / "out.gguf", report=told.append)
    done = [p.done for p in told]
    assert done == sorted(done)
    assert told[-1].done == told[-1].total > 0
    assert told[-1].seconds_left == 0


def test_what_is_refused(wide, tmp_path):
    cases = [
        (wide.path, "Q9_K", tmp_path / "x", "bad_argument"),
        (wide.path, "IQ2_XS", tmp_path / "x", "bad_argument"),
        (wide.path, "Q4_0", wide.path, "bad_argument"),
        (wide.path, "Q4_0", tmp_path / "no" / "x", "not_found"),
        (tmp_path / "none.gguf", "Q4_0", tmp_path / "x", "not_found"),
    ]
    for source, quant, out, kind in cases:
        with pytest.raises(SternaError) as told:
            quantise(source, quant, out)
        assert told.value.kind == kind
    vocab = write_gguf(tmp_path / "vocab.gguf", {"tokenizer.ggml.tokens": ["a"]})
    with pytest.raises(SternaError) as told:
        quantise(vocab, "Q4_0", tmp_path / "x")
    assert told.value.kind == "not_a_model"


def test_values_that_are_no_numbers_are_told_by_tensor(tmp_path):
    model = tiny_llama(tmp_path / "a.gguf", tensor_type="F32")
    data = bytearray(model.path.read_bytes())
    with open_gguf(model.path) as file:
        at = file.tensors["blk.0.attn_k.weight"].offset
    data[at : at + 4] = np.float32(np.nan).tobytes()
    model.path.write_bytes(data)
    with pytest.raises(SternaError, match=r"blk\.0\.attn_k\.weight"):
        quantise(model.path, "Q8_0", tmp_path / "b.gguf")
    assert listing(tmp_path) == ["a.gguf"]


def test_large_values_need_more_than_half_precision(tmp_path):
    model = tiny_llama(tmp_path / "a.gguf", tensor_type="F32")
    data = bytearray(model.path.read_bytes())
    with open_gguf(model.path) as file:
        at = file.tensors["blk.0.attn_k.weight"].offset
    data[at : at + 4] = np.float32(1e6).tobytes()
    model.path.write_bytes(data)
    with pytest.raises(SternaError) as told:
        quantise(model.path, "F16", tmp_path / "b.gguf")
    assert told.value.kind == "bad_values"
    quantise(model.path, "BF16", tmp_path / "b.gguf")


def test_floats_are_rounded_to_the_nearest(tmp_path):
    model = tiny_llama(tmp_path / "a.gguf", tensor_type="F32")
    for quant, type in (
        ("BF16", gguf.GGMLQuantizationType.BF16),
        ("F16", gguf.GGMLQuantizationType.F16),
    ):
        made = quantise(model.path, quant, tmp_path / "b.gguf")
        for tensor in gguf.GGUFReader(made.path).tensors:
            if tensor.tensor_type == type:
                true = model.weights[tensor.name]
                expected = gguf.quants.dequantize(gguf.quants.quantize(true, type), type)
                meant = gguf.quants.dequantize(tensor.data, type)
                assert (meant.reshape(true.shape) == expected.reshape(true.shape)).all()


# --- importance matrices -------------------------------------------------------------------------


def matrix_of(model):
    rng = np.random.default_rng(0)
    entries = {}
    for name, weights in model.weights.items():
        if weights.ndim == 2 and "blk" in name:
            squares = rng.gamma(0.5, size=(1, weights.shape[1])).astype(np.float32)
            squares[0, :8] *= 1000  # a few inputs matter most
            entries[name] = squares
    return Importance(entries, "a text", 3, "some.imatrix", 512)


def test_an_importance_matrix_guides(wide, tmp_path):
    importance = matrix_of(wide)
    plain = quantise(wide.path, "Q3_K_S", tmp_path / "plain.gguf")
    guided = quantise(wide.path, "Q3_K_S", tmp_path / "guided.gguf", importance=importance)

    def weighted(path):
        total = 0
        for tensor in gguf.GGUFReader(path).tensors:
            if tensor.name in importance.entries:
                meant = gguf.quants.dequantize(tensor.data, tensor.tensor_type)
                off = np.square(meant - wide.weights[tensor.name])
                total += float((off * importance.entries[tensor.name]).sum())
        return total

    assert weighted(guided.path) < 0.8 * weighted(plain.path)
    with open_gguf(guided.path) as file:
        assert file.string("quantize.imatrix.dataset") == "a text"
        assert file.integer("quantize.imatrix.entries_count") == len(importance.entries)


def test_an_importance_matrix_of_another_model_is_refused(wide, tmp_path):
    other = Importance({"blk.0.attn_q.weight": np.ones((1, 64), np.float32)})
    with pytest.raises(SternaError) as told:
        quantise(wide.path, "Q4_K_M", tmp_path / "x.gguf", importance=other)
    assert told.value.kind == "bad_imatrix"
    assert listing(tmp_path) == []


def test_importance_is_written_and_read(wide, tmp_path):
    importance = matrix_of(wide)
    path = tmp_path / "m.gguf"
    write_imatrix(path, importance)
    assert is_imatrix(path)
    read = read_imatrix(path)
    assert (read.dataset, read.chunks, read.source) == ("a text", 3, "m.gguf")
    with open_gguf(path) as file:  # what llama.cpp asks of such a file
        assert file.string("general.type") == "imatrix"
        assert file.strings("imatrix.datasets") == ["a text"]
        assert file.integer("imatrix.chunk_count") == 3
        assert file.integer("imatrix.chunk_size") == 512
    for name, entry in importance.entries.items():
        assert (read.entries[name] == entry).all()


def test_the_older_form_is_read(tmp_path):
    path = tmp_path / "imatrix.dat"
    values = np.array([1, 2, 3, 4], "<f4")
    name = b"blk.0.attn_q.weight"
    data = np.int32(1).tobytes() + np.int32(len(name)).tobytes() + name
    data += np.int32(2).tobytes() + np.int32(4).tobytes() + (values * 2).tobytes()
    path.write_bytes(data + np.int32(7).tobytes() + np.int32(3).tobytes() + b"wik")
    assert is_imatrix(path)
    read = read_imatrix(path)
    assert read.entries["blk.0.attn_q.weight"].tolist() == [[1, 2, 3, 4]]
    assert (read.chunks, read.dataset) == (7, "wik")
    for size in range(len(data)):
        path.write_bytes(data[:size])
        with pytest.raises(SternaError):
            read_imatrix(path)


def test_experts_have_weights_of_their_own():
    entries = {
        "blk.0.ffn_up_exps.weight": np.stack([np.arange(1, 5), np.zeros(4)]).astype(np.float32)
    }
    weights = Importance(entries).of("blk.0.ffn_up_exps.weight", (4, 8, 2))
    assert weights.shape == (2, 4)
    assert weights[0].tolist() == pytest.approx([0.4, 0.8, 1.2, 1.6])
    assert weights[1].tolist() == [1, 1, 1, 1]  # an expert that the text never reached


def test_a_text_is_no_importance_matrix(tmp_path):
    path = tmp_path / "x.txt"
    path.write_text("The quick brown fox.")
    assert not is_imatrix(path)
    with pytest.raises(SternaError):
        read_imatrix(path)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("Qwen3-4B-BF16.gguf", "Qwen3-4B-Q4_K_M.gguf"),
        ("model-f16-00001-of-00003.gguf", "model-Q4_K_M.gguf"),
        ("tern.Q8_0.gguf", "tern-Q4_K_M.gguf"),
        ("plain.gguf", "plain-Q4_K_M.gguf"),
    ],
)
def test_names_for_new_files(tmp_path, name, expected):
    assert default_path(tmp_path / name, "Q4_K_M", tmp_path).name == expected


def test_a_source_that_is_cut_short_meanwhile(wide, tmp_path):
    copy = tmp_path / "copy.gguf"
    copy.write_bytes(wide.path.read_bytes())

    def cut(progress):
        copy.open("r+b").truncate(copy.stat().st_size // 2)

    with pytest.raises(SternaError) as told:
        quantise(copy, "Q4_0", tmp_path / "out.gguf", report=cut)
    assert told.value.kind == "truncated"
    assert listing(tmp_path) == ["copy.gguf"]
