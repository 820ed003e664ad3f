"""The tokenizer on small vocabularies made here."""

import pytest
import vocabularies
from hypothesis import given, settings
from hypothesis import strategies as st

from backend.errors import SternaError
from backend.gguf import open_gguf
from backend.inference.tokenizer import Tokenizer, encode_rendered
from backend.templates import Rendered


@pytest.fixture(scope="module")
def bpe(tmp_path_factory):
    return load(
        vocabularies.byte_level(tmp_path_factory.mktemp("v") / "bpe.gguf", extra=["[TERN]"])
    )


@pytest.fixture(scope="module")
def spm(tmp_path_factory):
    return load(vocabularies.sentencepiece(tmp_path_factory.mktemp("v") / "spm.gguf"))


def load(path):
    with open_gguf(path) as file:
        return Tokenizer.from_gguf(file)


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=60))
def test_text_survives_a_round_trip(bpe, spm, text):
    clean = text.encode("utf-8", "replace").decode()
    assert bpe.decode(bpe.encode(text)) == clean
    assert spm.decode(spm.encode(text)) == clean


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_streamed_text_equals_decoded_text(bpe, spm, data):
    for tokenizer in (bpe, spm):
        ids = data.draw(st.lists(st.integers(0, tokenizer.vocab_size - 1), max_size=30))
        decoder = tokenizer.stream_decoder()
        pieces = [decoder.push(i) for i in ids] + [decoder.flush()]
        assert "".join(pieces) == tokenizer.decode(ids)
        for piece in pieces:
            piece.encode()  # no half characters


def test_words_of_people_never_become_control_tokens(bpe, spm):
    for tokenizer in (bpe, spm):
        for text in tokenizer.control_texts:
            typed = f"say {text}{text} now"
            ids = tokenizer.encode(typed)
            assert not any(tokenizer.is_special(i) for i in ids)
            assert tokenizer.decode(ids) == typed
            assert any(tokenizer.text_of(i) == text for i in tokenizer.encode(typed, special=True))


def test_user_defined_tokens_are_found_in_any_text(bpe):
    ids = bpe.encode("a [TERN] b")
    assert "[TERN]" in [bpe.text_of(i) for i in ids]
    assert bpe.decode(ids) == "a [TERN] b"


def test_bos_once(spm, bpe):
    assert spm.encode("the tern", special=True)[0] == spm.bos_id
    assert spm.encode("<s>the tern", special=True).count(spm.bos_id) == 1
    assert spm.bos_id not in spm.encode("the tern")
    assert spm.encode("the tern", bos=True)[0] == spm.bos_id
    assert spm.encode("", special=True) == [spm.bos_id]
    assert bpe.bos_id not in bpe.encode(
        "tern", special=True
    )  # gpt-2 vocabularies do not ask for it


def test_the_space_before_a_text(spm, tmp_path):
    assert spm.text_of(spm.encode("the")[0]).startswith("\u2581")
    assert spm.decode(spm.encode("tern")) == "tern"
    bare = load(vocabularies.sentencepiece(tmp_path / "bare.gguf", space_prefix=False))
    assert not bare.text_of(bare.encode("the")[0]).startswith("\u2581")


def test_bytes_that_are_no_text_come_out_replaced(spm):
    high = [i for i in range(spm.vocab_size) if spm.text_of(i) == "<0xF0>"]
    assert spm.decode(high) == "\ufffd"
    assert spm.decode(spm.encode("🚀")) == "🚀"


def test_an_id_out_of_range_means_none(tmp_path):
    path = vocabularies.sentencepiece(tmp_path / "v.gguf")
    tokenizer = load(path)
    assert tokenizer.eot_ids == {2}
    assert tokenizer.piece(4294967295) == b""


def test_turn_ends_are_known_by_name_and_by_id(bpe):
    assert {bpe.text_of(i) for i in bpe.eot_ids} == {"<|im_end|>", "<|endoftext|>"}


def test_an_unknown_family_is_noted(tmp_path):
    tokenizer = load(vocabularies.byte_level(tmp_path / "v.gguf", pre="from-the-future"))
    assert "from-the-future" in tokenizer.notes[0]
    assert tokenizer.decode(tokenizer.encode("still works 123")) == "still works 123"


def test_a_tokenizer_that_we_lack_is_named(tmp_path):
    import gguf

    writer = gguf.GGUFWriter(tmp_path / "v.gguf", "bert")
    writer.add_tokenizer_model("bert")
    writer.add_token_list(["a", "b"])
    vocabularies._write(writer)
    with pytest.raises(SternaError, match="bert") as error:
        load(tmp_path / "v.gguf")
    assert error.value.kind == "unsupported_tokenizer"


def test_a_rendered_conversation_keeps_typed_control_tokens_as_text(bpe):
    text = "<|im_start|>user\nsay <|im_end|> now<|im_end|>\n<|im_start|>assistant\n"
    at = text.index("<|im_end|>")
    ids = encode_rendered(bpe, Rendered(text, ((at, at + len("<|im_end|>")),)))
    names = [bpe.text_of(i) for i in ids]
    assert names.count("<|im_end|>") == 1
    assert names.count("<|im_start|>") == 2
    assert bpe.decode(ids, special=True) == text


def test_a_rendered_conversation_without_any_is_encoded_in_one_go(bpe):
    text = "<|im_start|>user\nthe tern<|im_end|>\n"
    assert encode_rendered(bpe, Rendered(text)) == bpe.encode(text, special=True)
