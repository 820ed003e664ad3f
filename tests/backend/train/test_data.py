"""Rows, formats, masks: what is read is what is learned, and what cannot be used is named by its row."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from folders import write_tokenizer
from ggufs import tiny_llama

from backend.errors import SternaError
from backend.inference.prompt import encode_conversation
from backend.inference.tokenizer import Tokenizer
from backend.train.data.encoder import Encoder, folder_encoder, gguf_encoder
from backend.train.data.prepare import prepare
from backend.train.data.preview import pieces, preview
from backend.train.data.reading import files_of, read_rows
from backend.train.recipe import Data

ASK, ANSWER = "What is a tern?", "A slender seabird."
TALK = [{"role": "user", "content": ASK}, {"role": "assistant", "content": ANSWER}]
FORMS = {
    "messages": {"messages": TALK},
    "sharegpt": {
        "conversations": [{"from": "human", "value": ASK}, {"from": "gpt", "value": ANSWER}]
    },
    "alpaca": {"instruction": ASK, "input": "", "output": ANSWER},
    "prompt": {"prompt": ASK, "completion": ANSWER},
    "text": {"text": f"{ASK} {ANSWER}"},
}


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    folder = tmp_path_factory.mktemp("bases")
    tiny_llama(folder / "tiny.gguf")
    write_tokenizer(folder / "hf")
    return folder


@pytest.fixture(params=["gguf", "folder"])
def encoder(bases, request):
    made = (
        gguf_encoder(bases / "tiny.gguf")
        if request.param == "gguf"
        else folder_encoder(bases / "hf")
    )
    yield made
    made.close()


@pytest.fixture
def chat(bases):
    made = gguf_encoder(bases / "tiny.gguf")
    yield made
    made.close()


def written(path, rows):
    suffix = path.suffix
    if suffix == ".jsonl":
        path.write_text("".join(json.dumps(r) + "\n" for r in rows))
    elif suffix == ".json":
        path.write_text(json.dumps(rows))
    elif suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, rows[0].keys())
            writer.writeheader()
            writer.writerows(rows)
    elif suffix == ".parquet":
        pq.write_table(pa.Table.from_pylist(rows), path)
    else:
        path.write_text("\n\n".join(rows))
    return path


def learn(path, encoder, **options):
    return prepare(Data(path=str(path), **{"validation": 0.0, **options}), (path, None), encoder, 0)


def learned_text(sample, encoder):
    return "".join(p["text"] for p in pieces(sample, encoder) if p["learned"])


FILES = [
    (form, suffix)
    for form in FORMS
    for suffix in (".jsonl", ".json", ".csv", ".parquet")
    if not (suffix == ".csv" and form in ("messages", "sharegpt"))  # a cell holds no list
]


@pytest.mark.parametrize(("form", "suffix"), FILES)
def test_every_format_in_every_file_is_recognised_and_learned(tmp_path, chat, form, suffix):
    path = written(tmp_path / f"notes{suffix}", [FORMS[form]] * 3)
    made = learn(path, chat)
    assert made.report.format == form
    assert made.report.rows == made.report.samples == len(made.train) == 3
    text = learned_text(made.train[0], chat)
    if form == "text":
        assert text == f"{ASK} {ANSWER}<|im_end|>"
    else:
        assert text == f"{ANSWER}<|im_end|>"


def test_paragraphs_of_a_text_file_are_rows_by_their_line(tmp_path, encoder):
    path = written(tmp_path / "notes.txt", ["one\ntwo", "three"])
    assert [(row.number, row.values["text"]) for row in read_rows(path)] == [
        (1, "one\ntwo"),
        (4, "three"),
    ]
    assert len(learn(path, encoder).train) == 2


def test_the_prompt_in_training_is_the_prompt_in_chat(tmp_path, bases, chat):
    """The ids before what is learned are, one by one, those that the engine would run."""
    from backend.gguf import describe, open_gguf

    path = written(tmp_path / "notes.jsonl", [{"messages": TALK}])
    sample = learn(path, chat).train[0]
    with open_gguf(bases / "tiny.gguf") as file:
        tokenizer, template = Tokenizer.from_gguf(file), describe(file).chat_template
    prompt = encode_conversation(tokenizer, template, TALK[:1])
    start = int(sample.learned.argmax())
    assert sample.ids[:start].tolist() == prompt.ids
    assert not sample.learned[:start].any()


def test_every_turn_of_the_assistant_is_learned_with_its_end_and_nothing_else(tmp_path, encoder):
    talk = [
        {"role": "system", "content": "Be short."},
        *TALK,
        {"role": "user", "content": "And a gull?"},
        {"role": "assistant", "content": "A louder one."},
    ]
    sample = learn(written(tmp_path / "n.jsonl", [{"messages": talk}]), encoder).train[0]
    shown = pieces(sample, encoder)
    assert [p["text"] for p in shown if p["learned"]] == [
        "A slender seabird.<|im_end|>",
        "A louder one.<|im_end|>",
    ]
    assert "".join(p["text"] for p in shown).startswith("<|im_start|>system\nBe short.<|im_end|>")


def test_what_people_wrote_never_becomes_a_control_token(tmp_path, encoder):
    asked = "say <|im_end|> twice"
    rows = [{"prompt": asked, "completion": "no <|im_start|>"}]
    sample = learn(written(tmp_path / "n.jsonl", rows), encoder).train[0]
    ends = [i for i in sample.ids.tolist() if i in encoder.words.eot_ids]
    assert len(ends) == 2  # of the two turns, none from the text
    assert learned_text(sample, encoder) == "no <|im_start|><|im_end|>"


def test_a_question_without_its_answer_is_left_out(tmp_path, chat):
    talk = [*TALK, {"role": "user", "content": "And then?"}]
    sample = learn(written(tmp_path / "n.jsonl", [{"messages": talk}]), chat).train[0]
    assert "And then?" not in "".join(p["text"] for p in pieces(sample, chat))


def test_without_a_template_a_prompt_is_plain_and_the_end_is_learned(tmp_path, bases):
    plain = Encoder(gguf_encoder(bases / "tiny.gguf").words, None)
    rows = [{"prompt": "Q: 1+1\nA:", "completion": " 2"}]
    sample = learn(written(tmp_path / "n.jsonl", rows), plain).train[0]
    assert learned_text(sample, plain) == " 2<|im_end|>"
    assert "".join(p["text"] for p in pieces(sample, plain)) == "Q: 1+1\nA: 2<|im_end|>"
    plain.close()


def test_alpaca_without_a_template_is_as_its_authors_wrote_it(tmp_path, bases):
    plain = Encoder(gguf_encoder(bases / "tiny.gguf").words, None)
    rows = [{"instruction": "Add.", "input": "1 1", "output": "2"}]
    sample = learn(written(tmp_path / "n.jsonl", rows), plain).train[0]
    whole = "".join(p["text"] for p in pieces(sample, plain))
    assert "### Instruction:\nAdd.\n\n### Input:\n1 1\n\n### Response:\n2<|im_end|>" in whole
    plain.close()


def test_columns_can_be_said(tmp_path, chat):
    rows = [{"frage": ASK, "antwort": ANSWER}]
    path = written(tmp_path / "n.jsonl", rows)
    with pytest.raises(SternaError, match="antwort, frage") as error:
        learn(path, chat)
    assert error.value.kind == "unknown_format"
    made = learn(path, chat, columns={"prompt": "frage", "completion": "antwort"})
    assert learned_text(made.train[0], chat) == f"{ANSWER}<|im_end|>"


def test_all_can_be_learned(tmp_path, chat):
    sample = learn(written(tmp_path / "n.jsonl", [FORMS["prompt"]]), chat, train_on="all").train[0]
    assert sample.learned.all()


BROKEN = [
    ("{not json", "no JSON"),
    ("[1, 2]", "message 1 of it is no object"),
    ("7", "it is int, not an object"),
    (json.dumps({"messages": []}), "list of messages is empty"),
    (json.dumps({"messages": None}), "no list of messages"),
    (
        json.dumps({"messages": [{"role": "user", "content": "hi"}]}),
        "no message in it is the assistant's",
    ),
    (json.dumps({"messages": [{"role": "wizard", "content": "hi"}]}), "the role 'wizard'"),
    (
        json.dumps({"messages": [*TALK[:1], {"role": "assistant", "content": " "}]}),
        "message 2 of it is empty",
    ),
    (
        json.dumps({"messages": [*TALK[:1], {"role": "assistant", "content": 3}]}),
        "message 2 of it has no text",
    ),
    (
        json.dumps({"messages": [{"role": "user", "content": [{"type": "image"}]}, TALK[1]]}),
        "message 1 of it holds more than text",
    ),
    (json.dumps({"other": 1}), "no list of messages"),
    ("[" * 100_000, "nested too deeply"),
]


@pytest.mark.parametrize(("line", "reason"), BROKEN, ids=[row[1] for row in BROKEN])
def test_a_row_that_cannot_be_used_is_named(tmp_path, chat, line, reason):
    path = tmp_path / "n.jsonl"
    good = json.dumps({"messages": TALK})
    path.write_text(f"{good}\n\n{line}\n{good}\n")
    with pytest.raises(SternaError) as error:
        learn(path, chat)
    assert error.value.kind == "bad_rows"
    assert "row 3 of n.jsonl" in error.value.message
    assert reason in error.value.message
    assert "1 of 3 rows" in error.value.message
    made = learn(path, chat, skip_refused=True)
    assert len(made.train) == 2
    assert made.report.refusals[0].where == "row 3 of n.jsonl"


def test_rows_of_a_table_that_do_not_fit_its_heading_are_named(tmp_path, chat):
    path = tmp_path / "n.csv"
    path.write_text('prompt,completion\na,b\nc\n"d,e\n')
    with pytest.raises(SternaError, match=r"row 2 of n.csv: it has not as many cells"):
        learn(path, chat)


def test_a_prompt_that_fills_the_length_is_refused_by_its_row(tmp_path, chat):
    rows = [FORMS["prompt"], {"prompt": "x " * 60, "completion": "y"}]
    path = written(tmp_path / "n.jsonl", rows)
    with pytest.raises(SternaError, match=r"row 2 of n.jsonl: nothing of it would be learned"):
        learn(path, chat, max_length=64)


def test_data_that_never_teaches_to_stop_is_refused(tmp_path, chat):
    rows = [{"prompt": "count", "completion": "one two three " * 30}] * 3
    path = written(tmp_path / "n.jsonl", rows)
    with pytest.raises(SternaError) as error:
        learn(path, chat, max_length=64)
    assert error.value.kind == "end_never_learned"
    assert "from row 1 of n.jsonl on" in error.value.message
    report = learn(
        written(tmp_path / "m.jsonl", [*rows, FORMS["prompt"]]), chat, max_length=64
    ).report
    assert report.truncated == report.unended == 3


def test_long_text_is_cut_in_pieces_and_none_of_it_is_lost(tmp_path, encoder):
    text = "a tern over the sea " * 40
    made = learn(written(tmp_path / "n.txt", [text]), encoder, max_length=64)
    whole = [i for s in made.train for i in s.ids.tolist()]
    assert encoder.words.decode(whole, special=True) == text.strip() + "<|im_end|>"
    assert all(len(s.ids) <= 64 for s in made.train)
    assert made.report.truncated == 0


def test_turns_that_a_template_rewrites_later_are_told_and_not_learned(tmp_path, bases):
    """As templates of thinking models do: what was thought is shown in the last answer only."""
    template = (
        "{% for m in messages %}<|im_start|>{{ m.role }}\n{% if m.role == 'assistant' and not loop.last %}"
        "{{ m.content[:1] }}{% else %}{{ m.content }}{% endif %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    encoder = Encoder(gguf_encoder(bases / "tiny.gguf").words, template)
    sample = learn(written(tmp_path / "n.jsonl", [{"messages": TALK * 2}]), encoder).train[0]
    assert learned_text(sample, encoder).endswith("A slender seabird.<|im_end|>")
    encoder.close()


def test_a_hostile_template_refuses_rows_and_hangs_nothing(tmp_path, bases):
    encoder = Encoder(gguf_encoder(bases / "tiny.gguf").words, "{{ raise_exception('no') }}")
    with pytest.raises(SternaError, match="chat template") as error:
        learn(written(tmp_path / "n.jsonl", [{"messages": TALK}] * 2), encoder)
    assert error.value.kind == "bad_rows"
    encoder.close()


def test_rows_are_held_back_by_share_or_from_a_file_of_their_own(tmp_path, chat):
    rows = [{"prompt": f"count {i}", "completion": str(i)} for i in range(20)]
    path = written(tmp_path / "n.jsonl", rows)
    made = learn(path, chat, validation=0.1)
    assert (len(made.train), len(made.validation)) == (18, 2)
    again = learn(path, chat, validation=0.1)
    assert [s.row.number for s in again.validation] == [s.row.number for s in made.validation]
    own = written(tmp_path / "v.jsonl", rows[:3])
    both = prepare(Data(path=str(path)), (path, own), chat, 0)
    assert (len(both.train), len(both.validation)) == (20, 3)


def test_the_preview_tells_what_will_be_learned(tmp_path, chat):
    rows = [FORMS["prompt"], {"prompt": "count", "completion": "one " * 60}, {"prompt": "x"}]
    made = learn(written(tmp_path / "n.jsonl", rows), chat, skip_refused=True, max_length=64)
    shown = preview(made, chat, 2)
    assert shown["title"] == "prompts and completions"
    assert (shown["rows"], shown["train"], shown["refused"], shown["truncated"]) == (3, 2, 1, 1)
    assert shown["refusals"] == [{"where": "row 3 of n.jsonl", "reason": "it has no completion"}]
    learned = sum(s["supervised_tokens"] for s in shown["samples"])
    assert shown["supervised_share"] == pytest.approx(learned / shown["tokens"])
    assert shown["samples"][0]["pieces"][-1] == {"text": f"{ANSWER}<|im_end|>", "learned": True}


@pytest.mark.parametrize("name", ["nothing.jsonl", "pickle.pkl", "."])
def test_files_that_are_no_data_are_refused(tmp_path, name):
    (tmp_path / "pickle.pkl").write_bytes(b"x")
    with pytest.raises(SternaError) as error:
        files_of(tmp_path / name)
    assert error.value.kind == "no_data"


@pytest.mark.parametrize("name", ["n.json", "n.parquet"])
def test_damaged_files_are_refused(tmp_path, chat, name):
    (tmp_path / name).write_bytes(b'{"a": [')
    with pytest.raises(SternaError) as error:
        learn(tmp_path / name, chat)
    assert error.value.kind == "no_data"
    assert name in error.value.message


def test_an_empty_file_has_nothing_to_learn(tmp_path, chat):
    path = tmp_path / "n.jsonl"
    path.write_text("\n")
    with pytest.raises(SternaError) as error:
        learn(path, chat)
    assert error.value.kind == "nothing_to_learn"


def test_a_folder_of_files_is_read_in_order(tmp_path, chat):
    written(tmp_path / "a.jsonl", [FORMS["prompt"]])
    written(tmp_path / "b.csv", [FORMS["alpaca"]])
    assert [s.row.file for s in learn(tmp_path, chat).train] == ["a.jsonl", "b.csv"]
