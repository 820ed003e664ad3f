"""From a vocabulary to a pipeline of Hugging Face `tokenizers`."""

from tokenizers import AddedToken, Regex, Tokenizer, models, normalizers, pre_tokenizers

from backend.gguf import GGUFFile
from backend.inference.tokenizer.vocabulary import CONTROL, UNKNOWN, USER_DEFINED, Vocabulary
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


def byte_level(file: GGUFFile, vocabulary: Vocabulary) -> tuple[Tokenizer, PreTokenizer, list[str]]:
    """Build byte-level BPE; also returns the family and notes for the user."""
    family, notes = PRETOKENIZERS.get(vocabulary.pre), []
    if family is None:
        family = PRETOKENIZERS["default"]
        notes.append(f"unknown pre-tokenizer {vocabulary.pre!r}: text may be cut in other places")
    vocab = _unique(vocabulary)
    merges = []
    for line in file.raw_strings("tokenizer.ggml.merges"):
        left, space, right = line.decode("utf-8", "replace").partition(" ")
        if not left:  # a merge that begins with a space itself
            left, space, right = line.decode("utf-8", "replace")[1:].partition(" ")
            left = " " + left
        if space and left in vocab and right in vocab and left + right in vocab:
            merges.append((left, right))
    model = models.BPE(vocab=vocab, merges=merges, ignore_merges=family.ignore_merges)
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


def special_tokens(vocabulary: Vocabulary, *, control: bool) -> list[AddedToken]:
    """Return the tokens that are matched in text as a whole: user-defined ones, and control if asked."""
    wanted = (CONTROL, USER_DEFINED) if control else (USER_DEFINED,)
    return [
        AddedToken(text, special=vocabulary.kinds[i] == CONTROL, normalized=False)
        for i, kind in enumerate(vocabulary.kinds)
        if kind in wanted and (text := vocabulary.text(i))
    ]
