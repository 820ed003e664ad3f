"""No file makes the reader hang, crash, take much memory, or raise anything but SternaError."""

import csv
import json
import subprocess
import sys
import time
from pathlib import Path

import malformed
import pytest
from malformed import cases

from backend.errors import SternaError
from backend.gguf import describe, open_gguf
from backend.inference import load_model
from backend.inference.tokenizer import Tokenizer

CASES = list(cases())


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.id} {c.name}")
def test_each_case_is_refused_clearly_or_opens(case, tmp_path):
    path = case.write(tmp_path)
    start = time.process_time()
    if case.kinds:
        with pytest.raises(SternaError) as caught:
            open_gguf(path)
        error = caught.value
        assert error.kind in case.kinds
        assert error.message.endswith(".")
        assert error.hint.endswith(".")
        assert ".gguf" in error.message  # which file it is
    else:
        with open_gguf(path) as file:
            _read_everything(file)
    assert time.process_time() - start < 1


def _read_everything(file):
    card = describe(file)
    assert card.kind == "unknown" or file.tensors
    for key in file.metadata:
        file.metadata[key]
        for get in (file.string, file.integer, file.number, file.flag, file.integers):
            get(key)
        for get in (file.numbers, file.strings, file.raw_strings, file.count):
            get(key)
    for name, info in file.tensors.items():
        assert len(file.data(name)) == info.nbytes


@pytest.mark.parametrize("case", CASES, ids=lambda c: f"{c.id} {c.name}")
def test_no_case_loads_as_a_model(case, tmp_path):
    with pytest.raises(SternaError):
        load_model(case.write(tmp_path))


def test_all_cases_stay_within_100_mb_in_one_process(tmp_path):
    folders = [tmp_path / str(i) for i in range(len(CASES))]
    paths = [str(case.write(folder)) for case, folder in zip(CASES, folders, strict=True)]
    child = subprocess.run(
        [sys.executable, "-c", _CHILD], input=json.dumps(paths), capture_output=True, text=True,
        timeout=60, cwd=Path(malformed.__file__).parents[2],
    )  # fmt: skip
    assert child.returncode == 0, child.stderr
    told = json.loads(child.stdout)
    assert len(told) == len(CASES)
    for case, kind in zip(CASES, told, strict=True):
        assert (kind in case.kinds) if case.kinds else kind is None, case


_CHILD = """
import json, resource, sys
from backend.gguf import describe, open_gguf
from backend.errors import SternaError
open("/dev/null").close()
pages = int(open("/proc/self/statm").read().split()[0]) if sys.platform == "linux" else None
if pages:
    limit = pages * resource.getpagesize() + 100_000_000
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
told = []
for path in json.load(sys.stdin):
    try:
        with open_gguf(path) as file:
            describe(file)
        told.append(None)
    except SternaError as error:
        told.append(error.kind)
print(json.dumps(told))
"""


@pytest.mark.conformance
def test_every_kind_of_the_matrix_is_built(conformance):
    with (conformance / "gguf" / "malformed_gguf_matrix.csv").open() as file:
        wanted = {row["id"] for row in csv.DictReader(file)}
    assert len(wanted) == 45
    assert wanted == {case.id for case in CASES}


def case_named(id, name):
    return next(c for c in CASES if (c.id, c.name) == (id, name))


@pytest.mark.parametrize(
    ("id", "name", "word"),
    [
        ("T1", "magic", "not a GGUF file"),
        ("T3", "version 1", "convert"),
        ("X15", "big-endian", "big-endian"),
        ("T7", "no bytes", "empty"),
        ("T27", "data one byte short", "Download the file again"),
        ("X11", "part missing", "m-00002-of-00003.gguf and 1 more"),
        ("X11", "renamed", "names back"),
    ],
)
def test_errors_tell_the_way_out(id, name, word, tmp_path):
    with pytest.raises(SternaError) as caught:
        open_gguf(case_named(id, name).write(tmp_path))
    assert word in f"{caught.value.message} {caught.value.hint}"


@pytest.mark.parametrize("type", [43, 99, 2**32 - 1])
def test_unknown_types_are_listed_as_unsupported(type, tmp_path):
    with open_gguf(case_named("T21", f"type {type}").write(tmp_path)) as file:
        unknown, known = file.tensors.values()
        assert not unknown.supported
        assert unknown.type_name == f"type {type}"
        assert unknown.nbytes == 32  # up to the next one
        assert known.supported
        assert known.nbytes == 32
        assert known.offset == unknown.offset + 32


def test_tokens_keep_their_bytes(tmp_path):
    with open_gguf(case_named("X5", "no UTF-8").write(tmp_path)) as file:
        key = "tokenizer.ggml.tokens"
        assert file.metadata[key] == ["\ufffd\ufffd", "b", "\ufffd"]
        assert file.raw_strings(key) == [b"\xff\xfe", b"b", b"\xc3"]
        assert describe(file).name == "\ufffd\ufffdname"


@pytest.mark.parametrize(
    "name", ["template an array", "template a number", "template names numbers"]
)
def test_a_template_of_another_type_is_none(name, tmp_path):
    with open_gguf(case_named("X6", name).write(tmp_path)) as file:
        assert describe(file).chat_template is None


def test_heads_may_differ_from_layer_to_layer(tmp_path):
    with open_gguf(case_named("X8", "heads per layer").write(tmp_path)) as file:
        assert file.integer("llama.attention.head_count_kv") is None
        card = describe(file)
        assert card.kv_heads_per_layer == (2, 0, 4)
        assert (card.kv_heads, card.heads) == (4, 4)


@pytest.mark.parametrize("name", ["ids past the end", "id negative"])
def test_token_ids_outside_the_vocabulary_are_none(name, tmp_path):
    with open_gguf(case_named("X9", name).write(tmp_path)) as file:
        card = describe(file)
        assert (card.bos, card.eos) == (None, None)


def test_odd_merges_are_skipped(tmp_path):
    with open_gguf(case_named("X10", "merge without space").write(tmp_path)) as file:
        assert Tokenizer.from_gguf(file).encode("ab", bos=False) is not None


def test_the_second_part_of_a_split_opens_the_whole(tmp_path):
    path = case_named("X11", "from the second").write(tmp_path)
    with open_gguf(path) as file:
        assert [shard.name for shard in file.shards] == [
            "m-00001-of-00002.gguf",
            "m-00002-of-00002.gguf",
        ]
        assert file.architecture == "llama"
        assert [t.shard for t in file.tensors.values()] == [0, 1]
