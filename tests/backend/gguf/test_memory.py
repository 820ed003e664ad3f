"""Converting and quantising keep little in memory, however large the model is."""

import json
import subprocess
import sys

import pytest
from sparse_models import sparse_checkpoint, sparse_gguf

PROBE = """
import json, resource, sys
import backend.gguf.quantising, backend.gguf.converting

def peak():
    return 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = peak()
verb, source, out, quant = sys.argv[1:5]
if verb == "quantise":
    made = backend.gguf.quantising.quantise(source, quant, out, threads=2)
else:
    made = backend.gguf.converting.convert(source, out, quant=quant or None, threads=2)
print(json.dumps([peak() - before, made.bytes]))
"""
ROOM = 80e6  # for some pieces of a tensor, each about a million values


def grown(*arguments):
    done = subprocess.run(
        [sys.executable, "-c", PROBE, *map(str, arguments)],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout)


def test_quantising_a_large_file(tmp_path):
    source = sparse_gguf(tmp_path / "large.gguf", layers=10)
    memory, _ = grown("quantise", source, tmp_path / "out.gguf", "Q4_0")
    assert memory < ROOM < source.stat().st_size / 4


def test_converting_a_large_checkpoint(tmp_path):
    source = sparse_checkpoint(tmp_path / "large", layers=10)
    memory, _ = grown("convert", source, tmp_path / "out.gguf", "Q4_0")
    assert memory < ROOM < (source / "model.safetensors").stat().st_size / 4


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_sixteen_gigabytes_in_less_than_half_a_gigabyte(tmp_path):
    source = sparse_checkpoint(tmp_path / "large", layers=480)
    assert (source / "model.safetensors").stat().st_size > 16e9
    memory, _ = grown("convert", source, tmp_path / "out.gguf", "Q4_K_M")
    assert memory < 0.5e9
