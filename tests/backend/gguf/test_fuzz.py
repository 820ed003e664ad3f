"""Random damage to a good file: nothing but SternaError may come out, quickly."""

import tempfile
from pathlib import Path

import pytest
from ggufs import tiny_bitnet, write_gguf
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import SternaError
from backend.gguf import IncompleteHeaderError, describe, open_gguf, read_header

_NUMBERS = st.sampled_from(
    [0, 1, 7, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**63, 2**64 - 1]
)


@pytest.fixture(scope="module")
def seed():
    """A whole small model, and where its header ends."""
    with tempfile.TemporaryDirectory() as folder:
        model = tiny_bitnet(Path(folder) / "m.gguf", layers=1)
        shorter = dict(model.metadata)
        for key in ("tokens", "token_type"):  # leave most of the header to other things
            shorter[f"tokenizer.ggml.{key}"] = shorter[f"tokenizer.ggml.{key}"][-8:]
        shorter.pop("tokenizer.chat_template")
        path = write_gguf(Path(folder) / "s.gguf", shorter, dict(list(model.weights.items())[1:4]))
        data = path.read_bytes()
    return data, read_header(data).data_start


@st.composite
def _damage(draw):
    """Places as fractions of the header, so that they fit any file."""
    place = st.floats(0, 1, exclude_max=True)
    flips = draw(st.lists(st.tuples(place, st.integers(0, 255)), max_size=4))
    words = draw(st.lists(st.tuples(place, _NUMBERS, st.sampled_from([4, 8])), max_size=2))
    cut = draw(st.none() | st.floats(0, 1))
    return flips, words, cut


def _damaged(data, start, damage):
    flips, words, cut = damage
    out = bytearray(data)
    for place, byte in flips:
        out[int(place * start)] ^= byte
    for place, number, width in words:
        at = int(place * start)
        out[at : at + width] = (number & (2 ** (8 * width) - 1)).to_bytes(width, "little")
    return bytes(out if cut is None else out[: int(cut * len(out))])


@settings(max_examples=400, deadline=10_000)
@given(damage=_damage())
def test_damaged_files(seed, damage):
    bad = _damaged(*seed, damage)
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        file.write(bad)
        file.flush()
        try:
            with open_gguf(file.name) as opened:
                describe(opened)
                for key in opened.metadata:
                    opened.metadata[key]
                for name, info in opened.tensors.items():
                    assert len(opened.data(name)) == info.nbytes
        except SternaError:
            pass


@settings(max_examples=200, deadline=10_000)
@given(cut=st.floats(0, 1))
def test_any_beginning_of_a_header_asks_for_more(seed, cut):
    data, start = seed
    part = data[: int(cut * start)]
    result = _outcome(part, len(data))
    if isinstance(result, IncompleteHeaderError):
        assert len(part) < result.needed <= start
    else:  # all but the padding is there
        assert result.data_start == start


@settings(max_examples=200, deadline=10_000)
@given(st.binary(max_size=300), st.integers(0, 40), st.integers(0, 40))
def test_noise_after_a_right_beginning(noise, tensors, pairs):
    head = b"GGUF\3\0\0\0" + tensors.to_bytes(8, "little") + pairs.to_bytes(8, "little")
    assert not isinstance(_outcome(head + noise), IncompleteHeaderError)


def _outcome(data, size=None):
    """Return the header or the SternaError; anything else is raised and fails the test."""
    try:
        return read_header(data, size=size)
    except SternaError as error:
        return error
