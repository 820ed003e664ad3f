"""From a vocabulary to a pipeline of Hugging Face `tokenizers`."""

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from backend.gguf import GGUFFile
from backend.inference.tokenizer.vocabulary import CONTROL, UNKNOWN, Vocabulary
from backend.pretokenizers import PRETOKENIZERS, PreTokenizer

SPACE = "\u2581"  # how SentencePiece writes a space


def _unique(vocabulary: Vocabulary) -> dict[str, int]:
    """Map token texts to ids. Of doubles (or bytes that decode alike) the first keeps the text."""
    vocab: dict[str, int] = {}
    for i, token in enumerate(vocabulary.tokens):
        text = token.decode("utf-8", "replace")
        if text in vocab:
            text = f"\ue000{i}\ue001"  # never met in text, so never matched
        vocab[text] = i
    return vocab


def _odd_merge(line: str) -> tuple[str, str] | None:
    """Take apart a merge of a token that begins with a space, or tell that it is none."""
    left, space, right = line[1:].partition(" ")
    return (line[:1] + left, right) if space and right else None


def _merges(file: GGUFFile, vocab: dict[str, int]) -> list[tuple[str, str]]:
    """Read the merges of a file, but for those of what is no token.

    Hundreds of thousands: what is done for each is what loading takes.
    """
    lines = [line.decode("utf-8", "replace") for line in file.raw_strings("tokenizer.ggml.merges")]
    pairs = [line.split(" ") for line in lines]
    found = [
        (pair[0], pair[1]) if len(pair) == 2 and pair[0] else _odd_merge(line)
        for pair, line in zip(pairs, lines, strict=True)
    ]
    return [m for m in found if m and m[0] in vocab and m[1] in vocab and m[0] + m[1] in vocab]


def byte_level(file: GGUFFile, vocabulary: Vocabulary) -> tuple[Tokenizer, PreTokenizer, list[str]]:
    """Build byte-level BPE; also returns the family and notes for the user."""
    family, notes = PRETOKENIZERS.get(vocabulary.pre), []
    if family is None:
        family = PRETOKENIZERS["default"]
        notes.append(f"unknown pre-tokenizer {vocabulary.pre!r}: text may be cut in other places")
    vocab = _unique(vocabulary)
    model = models.BPE(vocab=vocab, merges=_merges(file, vocab), ignore_merges=family.ignore_merges)
    tokenizer = Tokenizer(model)
    cuts = [pre_tokenizers.Split(Regex(p), "isolated") for p in family.patterns]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*cuts, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    return tokenizer, family, notes


def sentencepiece(file: GGUFFile, vocabulary: Vocabulary) -> Tokenizer:
    """Build SentencePiece BPE with byte fallback.

    SentencePiece merges the pair whose result scores best. Every way to split a piece in two known
    pieces is therefore a merge, in the order of the scores of the results.
    """
    vocab = _unique(vocabulary)
    scores = file.numbers("tokenizer.ggml.scores")
    score = (
        scores.tolist() if scores is not None and len(scores) == len(vocabulary.tokens) else None
    )
    ranked = []
    for text, id_ in vocab.items():
        if vocabulary.kinds[id_] in (CONTROL, UNKNOWN):
            continue
        for cut in range(1, len(text)):
            left, right = text[:cut], text[cut:]
            if left in vocab and right in vocab:
                ranked.append(
                    (-score[id_] if score else float(id_), vocab[left], vocab[right], left, right)
                )
    ranked.sort(key=lambda m: m[:3])
    unknown = vocabulary.text(vocabulary.unknown) if vocabulary.unknown is not None else None
    model = models.BPE(
        vocab=vocab,
        merges=[(left, right) for *_, left, right in ranked],
        unk_token=unknown,
        byte_fallback=True,
        fuse_unk=True,
    )
    tokenizer = Tokenizer(model)
    tokenizer.normalizer = normalizers.Replace(" ", SPACE)
    return tokenizer


def special_tokens(vocabulary: Vocabulary, wanted: int) -> list[AddedToken]:
    """Return the tokens of a kind (USER_DEFINED, CONTROL) that are matched in text as a whole."""
    return [
        AddedToken(text, special=kind == CONTROL, normalized=False)
        for i, kind in enumerate(vocabulary.kinds)
        if kind == wanted and (text := vocabulary.text(i))
    ]
