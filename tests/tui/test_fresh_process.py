"""What a fresh process imports: the command line starts light, and nothing heavy creeps in."""

import json
import subprocess
import sys

import pytest

PROBE = """
import json, sys
from tui.cli import main
status = main({arguments!r})
sys.stdout.flush()
print("\\n" + json.dumps([status, sorted(m.partition(".")[0] for m in sys.modules)]))
"""


def modules_after(*arguments):
    code = PROBE.format(arguments=list(arguments))
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    status, names = json.loads(done.stdout.splitlines()[-1])
    return status, set(names)


def test_version_imports_next_to_nothing():
    status, names = modules_after("--version")
    assert status == 0
    assert not names & {"textual", "numpy", "torch", "backend", "ext", "msgspec"}


@pytest.mark.parametrize(
    "verb", ["ls", "machine --no-measure", "doctor", "show nothing", "nonsense"]
)
def test_verbs_import_neither_screen_nor_torch(verb):
    _, names = modules_after(*verb.split())
    assert not names & {
        "textual",
        "rich",
        "torch",
        "transformers",
        "peft",
        "starlette",
        "huggingface_hub",
    }
