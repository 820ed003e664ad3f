"""`sterna convert` as people and programs call it."""

import json

from checkpoints import checkpoint

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
