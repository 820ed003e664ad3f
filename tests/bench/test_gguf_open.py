"""The benchmark of opening runs and tells its ratio; times are not judged."""

from backend.gguf import open_gguf
from bench.gguf_open import main, make_header


def test_it_prints_a_ratio(tmp_path, capsys):
    path = tmp_path / "h.gguf"
    make_header(path, tokens=50, merges=40)
    with open_gguf(path) as file:
        assert file.count("tokenizer.ggml.tokens") == 50
        assert file.count("tokenizer.ggml.merges") == 40
        assert file.count("tokenizer.ggml.scores") == 50
    assert main([str(path)]) == 0
    out = capsys.readouterr().out
    assert "ratio" in out
    assert "GGUFReader" in out
