"""Written files, read by the gguf package and by our own reader."""

import gguf
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backend import quants
from backend.gguf import open_gguf
from backend.gguf.writing import Blueprint, encode, write_gguf

F32, Q8_0 = quants.type_named("F32"), quants.type_named("Q8_0")


def write(path, metadata, tensors=(), contents=None, alignment=32):
    pairs = {key: encode(value) for key, value in metadata.items()}
    return write_gguf(path, pairs, tensors, contents or (lambda _: []), alignment)


texts = st.text(st.characters(blacklist_categories=["Cs"]), max_size=20)
values = st.one_of(
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(width=32, allow_nan=False),
    texts,
    st.lists(texts, max_size=4),
    st.lists(st.integers(-(2**31), 2**31 - 1), min_size=1, max_size=4),
    st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=4),
    st.lists(st.booleans(), min_size=1, max_size=4),
)


@settings(max_examples=60, deadline=None)
@given(metadata=st.dictionaries(st.from_regex(r"[a-z]{1,8}\.[a-z]{1,8}", fullmatch=True), values))
def test_metadata_is_read_as_it_was_written(tmp_path_factory, metadata):
    path = tmp_path_factory.mktemp("written") / "x.gguf"
    write(path, metadata)
    with open_gguf(path) as file:
        for key, value in metadata.items():
            found = file.metadata[key]
            found = found.tolist() if isinstance(found, np.ndarray) else found
            assert found == value
            assert type(found) is type(value)
        assert file.encoded_metadata() == {key: encode(value) for key, value in metadata.items()}


@pytest.mark.parametrize("alignment", [32, 64, 8])
def test_tensors_are_read_by_the_package(tmp_path, alignment):
    rng = np.random.default_rng(0)
    first, second = (rng.standard_normal(s).astype(np.float32) for s in ((3, 5), (7, 64)))
    stored = {
        "a.weight": first,
        "b.weight": gguf.quants.quantize(second, gguf.GGMLQuantizationType.Q8_0),
    }
    plans = [Blueprint("a.weight", (5, 3), F32), Blueprint("b.weight", (64, 7), Q8_0)]
    path = tmp_path / "x.gguf"
    size = write(
        path,
        {"general.architecture": "llama", "general.alignment": alignment},
        plans,
        lambda b: (row for row in stored[b.name]),
        alignment,
    )  # fmt: skip
    assert size == path.stat().st_size
    read = {tensor.name: tensor for tensor in gguf.GGUFReader(path).tensors}
    assert (read["a.weight"].data == first).all()
    assert (read["b.weight"].data == stored["b.weight"]).all()
    with open_gguf(path) as file:
        assert file.tensors["b.weight"].shape == (64, 7)
        assert (file.data("b.weight") == stored["b.weight"].reshape(-1)).all()


def test_a_tensor_of_another_size_than_announced_is_no_file(tmp_path):
    with pytest.raises(ValueError, match="announced"):
        write(tmp_path / "x.gguf", {}, [Blueprint("a", (4,), F32)], lambda _: [bytes(12)])
    assert list(tmp_path.iterdir()) == []


def test_rows_that_do_not_fill_blocks_have_no_size():
    with pytest.raises(ValueError, match="do not fill"):
        _ = Blueprint("a", (33, 2), Q8_0).nbytes
