"""`sterna convert` as people and programs call it."""

import json

from checkpoints import checkpoint
from stores import Hub

from backend.gguf import open_gguf
from tui.cli import main


def test_a_checkpoint_becomes_a_file(tmp_path, capsys):
    folder = checkpoint(tmp_path / "Tiny-1B", dtype="bfloat16").folder
    capsys.readouterr()
    out = tmp_path / "out.gguf"
    assert main(["convert", str(folder), str(out), "--json"]) == 0
    captured = capsys.readouterr()
    data = json.loads(captured.out)
    assert data["path"] == str(out)
    assert data["bytes"] == out.stat().st_size
    assert 16 <= data["bits_per_weight"] < 17
    assert "100 %" in captured.err
    assert main(["convert", str(folder), str(tmp_path), "--quant", "q8_0"]) == 0
    assert (tmp_path / "Tiny-1B-Q8_0.gguf").is_file()
    capsys.readouterr()
    assert main(["convert", str(tmp_path / "no"), str(out), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "not_found"


def test_a_checkpoint_of_the_cache_is_known_by_its_repository(tmp_path, home, capsys):
    folder = checkpoint(tmp_path / "made", dtype="bfloat16").folder
    files = {path.name: path.read_bytes() for path in folder.iterdir()}
    Hub(home / "huggingface/hub").add("someone/Tiny-1B", files)
    assert main(["convert", "someone/Tiny-1B", str(tmp_path)]) == 0
    with open_gguf(tmp_path / "Tiny-1B.gguf") as file:
        assert file.string("general.name") == "Tiny-1B"
    capsys.readouterr()
    assert main(["convert", "someone/Other", str(tmp_path), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "not_found"
