"""Real vocabularies: every text gives the ids that its makers' tokenizer gives."""

import base64

import gguf
import pytest
import vocabularies

from backend.gguf import open_gguf
from backend.inference.tokenizer import Tokenizer

pytestmark = pytest.mark.conformance
SEPARATOR = "\n__ggml_vocab_test__\n"


def vectors(stem):
    texts = stem.with_name(stem.name + ".inp").read_bytes().decode().split(SEPARATOR)
    ids = stem.with_name(stem.name + ".out").read_text().split("\n")
    return [(text, [int(i) for i in line.split()]) for text, line in zip(texts, ids, strict=False)]


def check(tokenizer, stem):
    wrong = [(text, ids) for text, ids in vectors(stem) if tokenizer.encode(text, bos=False) != ids]
    assert not wrong, (
        f"{len(wrong)} differ, first {wrong[0]!r}: {tokenizer.encode(wrong[0][0], bos=False)}"
    )


def test_every_vector_of_every_vocabulary(conformance):
    found = [
        p
        for p in sorted((conformance / "vocabs").glob("*.gguf"))
        if p.with_name(p.name + ".inp").exists()
    ]
    assert found
    for path in found:
        with open_gguf(path) as file:
            check(Tokenizer.from_gguf(file), path)


def characters():
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table = {b: chr(b) for b in plain}
    return table | {b: chr(256 + i) for i, b in enumerate(b for b in range(256) if b not in table)}


def split(token, ranks):
    """The pair that byte-pair encoding merges last to make `token`."""
    parts = [bytes([b]) for b in token]
    while len(parts) > 2:
        best = min(range(len(parts) - 1), key=lambda i: ranks.get(parts[i] + parts[i + 1], 1 << 30))
        parts[best : best + 2] = [parts[best] + parts[best + 1]]
    return parts


def test_ranks_of_bytes_as_a_vocabulary(conformance, tmp_path):
    """Vocabularies published as ranks of byte strings: each token's last merge follows from them."""
    stems = {"llama3.tiktoken.model": ("ggml-vocab-llama-bpe.gguf", "llama-bpe")}
    for name, (stem, pre) in stems.items():
        lines = (conformance / "vocabs" / name).read_bytes().split(b"\n")
        ranks = {base64.b64decode(t): int(r) for t, r in (line.split() for line in lines if line)}
        table = characters()
        tokens = ["".join(table[b] for b in token) for token in sorted(ranks, key=ranks.get)]
        merges = []
        for token in sorted(ranks, key=ranks.get):
            if len(token) > 1:
                left, right = split(token, RanksBelow(ranks, token))
                merges.append(
                    "".join(table[b] for b in left) + " " + "".join(table[b] for b in right)
                )
        writer = gguf.GGUFWriter(tmp_path / "v.gguf", "llama")
        writer.add_tokenizer_model("gpt2")
        writer.add_tokenizer_pre(pre)
        writer.add_token_list(tokens)
        writer.add_token_types([1] * len(tokens))
        writer.add_token_merges(merges)
        vocabularies._write(writer)
        with open_gguf(tmp_path / "v.gguf") as file:
            check(Tokenizer.from_gguf(file), conformance / "vocabs" / stem)


class RanksBelow:
    """The ranks that come before a token: only those merges are made on the way to it."""

    def __init__(self, ranks, token):
        self.ranks, self.limit = ranks, ranks[token]

    def get(self, pair, default):
        rank = self.ranks.get(pair, default)
        return rank if rank < self.limit else default
