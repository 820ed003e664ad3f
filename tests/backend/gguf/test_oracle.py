"""Our reader against the gguf package's, on files that the package itself wrote."""

import gguf
import numpy as np
import pytest
from gguf import GGUFValueType as T
from ggufs import tiny_bitnet, tiny_llama, write_gguf

from backend.gguf import open_gguf

SCALARS = {
    "a.u8": (T.UINT8, 255), "a.i8": (T.INT8, -128), "a.u16": (T.UINT16, 65535),
    "a.i16": (T.INT16, -32768), "a.u32": (T.UINT32, 2**32 - 1), "a.i32": (T.INT32, -(2**31)),
    "a.u64": (T.UINT64, 2**64 - 1), "a.i64": (T.INT64, -(2**63)), "a.f32": (T.FLOAT32, 0.1),
    "a.f64": (T.FLOAT64, 0.1), "a.true": (T.BOOL, True), "a.false": (T.BOOL, False),
    "a.text": (T.STRING, "tern 🐦\n\x1b"),
    "b.texts": ["a", "", "ünï"], "b.floats": [0.1, -2.5], "b.flags": [True, False], "b.ids": [3, 1],
}  # fmt: skip


def assert_same(path):
    theirs = gguf.GGUFReader(path)
    with open_gguf(path) as ours:
        fields = {k: f for k, f in theirs.fields.items() if not k.startswith("GGUF.")}
        assert list(ours.metadata) == list(fields)
        for key, field in fields.items():
            value = ours.metadata[key]
            plain = value.tolist() if isinstance(value, np.ndarray) else value
            assert plain == field.contents(), key
            assert type(plain) is type(field.contents()), key
        assert list(ours.tensors) == [t.name for t in theirs.tensors]
        for t in theirs.tensors:
            info = ours.tensors[t.name]
            assert info.shape == tuple(t.shape.tolist())
            assert (info.type, info.type_name) == (t.tensor_type, t.tensor_type.name)
            assert (info.offset, info.nbytes) == (t.data_offset, t.n_bytes)
            assert info.elements == t.n_elements
            np.testing.assert_array_equal(ours.data(t.name), t.data.view(np.uint8).reshape(-1))
        assert ours.alignment == theirs.alignment


@pytest.mark.parametrize("align", [8, 32, 4096])
def test_every_type_of_value(tmp_path, align):
    tensors = {
        "f32": np.arange(6, dtype=np.float32).reshape(3, 2),
        "f16": np.ones((2, 3, 4), np.float16),
        "f64": np.ones(5),
        "i8": np.arange(7, dtype=np.int8),
        "i64": np.arange(24, dtype=np.int64).reshape(1, 2, 3, 4),
    }
    metadata = {"general.alignment": align, **SCALARS}
    assert_same(write_gguf(tmp_path / "m.gguf", metadata, tensors))


@pytest.mark.parametrize("type", ["F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
@pytest.mark.parametrize("vocab", ["bpe", "spm"])
def test_tiny_llamas(tmp_path, type, vocab):
    assert_same(tiny_llama(tmp_path / "m.gguf", tensor_type=type, vocab=vocab).path)


@pytest.mark.parametrize("type", ["TQ1_0", "TQ2_0"])
def test_tiny_bitnets(tmp_path, type):
    assert_same(tiny_bitnet(tmp_path / "m.gguf", tensor_type=type).path)


def test_every_tensor_type_of_the_package_has_its_size(tmp_path):
    from ggufs import Raw

    tensors = {}
    for type, (block, size) in gguf.GGML_QUANT_SIZES.items():
        data = np.random.default_rng(type).bytes(3 * size * 2)
        tensors[type.name] = Raw(int(type), (2, 3 * block), data)
    path = write_gguf(tmp_path / "m.gguf", {}, tensors)
    with open_gguf(path) as file:
        for type in gguf.GGML_QUANT_SIZES:
            assert file.tensors[type.name].supported
            assert file.data(type.name).tobytes() == tensors[type.name].data


def test_split_by_the_packages_writer(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "m.gguf", "llama", split_max_tensors=2)
    writer.add_name("split")
    values = {f"t{i}": np.full((2, 32), i, np.float32) for i in range(5)}
    for name, value in values.items():
        writer.add_tensor(name, value)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with open_gguf(tmp_path / "m-00002-of-00003.gguf") as file:
        assert len(file.shards) == 3
        assert file.size == sum(shard.stat().st_size for shard in file.shards)
        assert file.string("general.name") == "split"
        assert list(file.tensors) == list(values)
        for name, value in values.items():
            np.testing.assert_array_equal(file.data(name).view(np.float32).reshape(2, 32), value)


@pytest.mark.conformance
@pytest.mark.parametrize("name", ["models/stories260K.gguf", "vocabs/ggml-vocab-llama-spm.gguf"])
def test_real_files(conformance, name):
    assert_same(conformance / name)


@pytest.mark.conformance
def test_every_real_vocabulary_opens(conformance):
    for path in (conformance / "vocabs").glob("*.gguf"):
        with open_gguf(path) as file:
            tokens = file.raw_strings("tokenizer.ggml.tokens")
            assert len(tokens) == file.count("tokenizer.ggml.tokens") > 30_000
            assert file.metadata["tokenizer.ggml.tokens"] == [
                t.decode("utf-8", "replace") for t in tokens
            ]
