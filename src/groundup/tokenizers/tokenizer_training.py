"""Training a tokenizer on a corpus: byte-level BPE, WordPiece or Unigram.

The corpus is cut into words and counted once; what is learned, is learned from the counts.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groundup.errors import GroundupError
from groundup.tokenizers import byte_pair_training, unigram_training

from . import fused_byte_pair_training, fused_unigram_training
from .byte_pair_encoding import byte_alphabet
from .library_code import is_library_code
from .normalization import normalizer_from_json
from .pieces import Pieces
from .pre_tokenization import PATTERNS, Splitter, pattern_step, splitter_from_json
from .tokenizer_json import byte_pair_json, unigram_json, wordpiece_json
from .word_counts import WordCounts, count_words

__all__ = ["KINDS", "SPECIAL_TOKENS", "train_tokenizer"]

KINDS = ("bpe", "wordpiece", "unigram")
SPECIAL_TOKENS = {
    "bpe": ["<|endoftext|>"],
    "wordpiece": ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
    "unigram": ["<unk>", "<s>", "</s>"],
}
METASPACE = {
    "type": "Metaspace",
    "replacement": "▁",
    "prepend_scheme": "always",
    "split": True,
}

Advance = Callable[[int], None]


def nothing(done: int) -> None:
    """Of a progress that nobody watches."""


def train_tokenizer(
    blocks: Iterable[str],
    kind: str,
    size: int,
    *,
    pattern: str = "cl100k",
    lowercase: bool = False,
    special: Sequence[str] = (),
    least: int = 1,
    coverage: float = 0.9995,
    threads: int = 1,
    advance: Advance = nothing,
) -> dict[str, Any]:
    """Learn a vocabulary, and give the object of its tokenizer.json.

    Arguments:
        blocks: the corpus, in texts; no word reaches from one into the next.
        kind: ``bpe``, ``wordpiece`` or ``unigram``.
        size: how many tokens there are to be, special ones included. A corpus may be too small
            for them; there are then fewer.
        pattern: of BPE's words, a name of ``PATTERNS``.
        lowercase: letters are lowered and accents dropped first, as BERT's; not for BPE.
        special: special tokens beside those that the kind has (``SPECIAL_TOKENS``).
        least: BPE and WordPiece join no pair that is found less often.
        coverage: the share of the characters that have tokens, for WordPiece and Unigram; the
            rarest ones above it are unknown.
        threads: how many cut and count words.
        advance: told how many tokens there are, while they are learned (for Unigram, are left).

    Raises: GroundupError: an argument is none of these, the corpus has no words, or the vocabulary
        is smaller than its special tokens and characters.
    """
    if kind not in KINDS:
        raise GroundupError(f"the kind is {kind!r}, expected one of {', '.join(KINDS)}")
    if pattern not in PATTERNS:
        raise GroundupError(f"the pattern is {pattern!r}, expected one of {', '.join(PATTERNS)}")
    if not 0 < coverage <= 1:
        raise GroundupError(f"the coverage is {coverage}, expected more than 0 and at most 1")
    tokens = list(dict.fromkeys([*SPECIAL_TOKENS[kind], *special]))
    if kind == "bpe":
        splitter = Splitter([pattern_step(PATTERNS[pattern])])
        corpus = counted(blocks, splitter, None, threads)
        return byte_pair(corpus, size, tokens, pattern, least, advance)
    normal: dict[str, Any] = {
        "type": "BertNormalizer",
        "clean_text": True,
        "handle_chinese_chars": True,
        "strip_accents": None,
        "lowercase": lowercase,
    }
    if kind == "wordpiece":
        splitter = splitter_from_json({"type": "BertPreTokenizer"})
        corpus = covered(counted(blocks, splitter, normal, threads), coverage)
        return wordpiece(corpus, size, tokens, normal, least, advance)
    lowered = [{"type": "Lowercase"}] if lowercase else []
    normal = {"type": "Sequence", "normalizers": [{"type": "NFKC"}, *lowered]}
    splitter = splitter_from_json(METASPACE)
    corpus = covered(counted(blocks, splitter, normal, threads), coverage)
    return unigram(corpus, size, tokens, normal, advance)


def counted(
    blocks: Iterable[str], splitter: Splitter, normal: dict[str, Any] | None, threads: int
) -> WordCounts:
    """The corpus's words and their counts."""
    normalizer = normalizer_from_json(normal)

    def cut(block: str) -> Pieces:
        return splitter.cut(Pieces.of(normalizer(block)[0])._replace(origins=None))

    corpus = count_words(blocks, cut, threads)
    if not len(corpus.words):
        raise GroundupError(
            "the corpus has no words, expected text to learn from; name a file with some"
        )
    return corpus


def covered(corpus: WordCounts, coverage: float) -> WordCounts:
    """The words of the most frequent characters that make up this share of the text."""
    codes, ends = corpus.words.codes, corpus.words.ends
    letters, inverse = np.unique(codes, return_inverse=True)
    counts = np.bincount(inverse, np.repeat(corpus.counts, np.diff(ends)))
    order = np.argsort(-counts, kind="stable")
    before = np.cumsum(counts[order]) - counts[order]
    rare = np.zeros(len(letters), bool)
    rare[order] = before >= coverage * counts.sum()
    if not rare.any():
        return corpus
    bad = np.add.reduceat(rare[inverse].astype(np.int64), ends[:-1]) > 0
    kept = WordCounts()
    kept.add(Pieces(codes, ends[:-1][~bad], ends[1:][~bad]), corpus.counts[~bad])
    return kept


def require_room(size: int, special: Sequence[str], alphabet: int, characters: str) -> None:
    """Raises: GroundupError where not even the single characters fit."""
    if size < len(special) + alphabet:
        raise GroundupError(
            f"the vocabulary is to have {size:,} tokens, expected at least "
            f"{len(special) + alphabet:,}: {len(special)} special tokens and {alphabet:,} "
            f"{characters}; ask for more"
        )


def byte_pair(
    corpus: WordCounts, size: int, special: list[str], pattern: str, least: int, advance: Advance
) -> dict[str, Any]:
    alphabet = byte_alphabet()
    tokens = sorted(alphabet.values())  # the order in which equal counts are joined
    require_room(size, special, len(tokens), "bytes")
    place = np.array([tokens.index(alphabet[byte]) for byte in range(256)], np.int32)
    codes, ends = corpus.words.codes, corpus.words.ends
    text = np.frombuffer(codes.tobytes().decode("utf-32-le").encode(), np.uint8)
    sizes = 1 + (codes >= 0x80) + (codes >= 0x800) + (codes >= 0x10000).astype(np.int64)
    byte_ends = np.concatenate(([0], np.cumsum(sizes)))[ends]
    merges = learned(
        place[text], byte_ends, corpus.counts, tokens, size - len(special), least, advance
    )
    pairs = []
    for left, right, _ in merges:
        pairs.append((tokens[left], tokens[right]))
        tokens.append(tokens[left] + tokens[right])
    return byte_pair_json(numbered(special, tokens), pairs, special, pattern)


def wordpiece(
    corpus: WordCounts, size: int, special: list[str], normal: dict[str, Any], least: int,
    advance: Advance,
) -> dict[str, Any]:  # fmt: skip
    """WordPiece's pairs are joined by count, as `tokenizers` does; Wu et al. leave it open."""
    codes, ends = corpus.words.codes, corpus.words.ends
    inside = np.ones(len(codes), np.int64)
    inside[ends[:-1]] = 0
    letters, symbols = np.unique(codes.astype(np.int64) << 1 | inside, return_inverse=True)
    # All characters can begin a word: a text may have a word that no word of the corpus begins as.
    starts = np.unique(codes)
    within = letters[letters & 1 == 1] >> 1
    tokens = [chr(code) for code in starts] + [f"##{chr(code)}" for code in within]
    require_room(size, special, len(tokens), "characters, alone and inside words")
    keys = [*(starts.astype(np.int64) << 1).tolist(), *(within << 1 | 1).tolist()]
    index_of = {key: index for index, key in enumerate(keys)}
    place = np.array([index_of[letter] for letter in letters.tolist()], np.int32)
    merges = learned(
        place[symbols], ends, corpus.counts, tokens, size - len(special), least, advance
    )
    for left, right, _ in merges:
        tokens.append(tokens[left] + tokens[right].removeprefix("##"))
    return wordpiece_json(numbered(special, tokens), special, normal)


def learned(
    symbols: NDArray[np.int32], ends: NDArray[np.int64], counts: NDArray[np.int64],
    alphabet: list[str], size: int, least: int, advance: Advance,
) -> list[tuple[int, int, int]]:  # fmt: skip
    """The merges, found by a learner's part where one is swapped in."""
    if is_library_code(byte_pair_training):
        merges = fused_byte_pair_training.train_byte_pairs(
            symbols, ends, counts, len(alphabet), size, least, advance
        )
        return [(left, right, joined) for left, right, joined in merges.tolist()]
    words = [
        (symbols[a:b].tolist(), count)
        for a, b, count in zip(ends[:-1], ends[1:], counts.tolist(), strict=True)
    ]
    return byte_pair_training.train_byte_pairs(words, len(alphabet), size, least)


def unigram(
    corpus: WordCounts, size: int, special: list[str], normal: dict[str, Any], advance: Advance
) -> dict[str, Any]:
    require_room(size, special, len(np.unique(corpus.words.codes)), "characters")
    room = size - len(special)
    if is_library_code(unigram_training):
        pieces = fused_unigram_training.train_unigram(corpus, room, advance)
    else:
        tokens, scores = fused_unigram_training.seed_tokens(corpus)
        words = dict(zip(corpus.words.strings(), corpus.counts.tolist(), strict=True))
        seeds = dict(zip(tokens.strings(), scores.tolist(), strict=True))
        found = unigram_training.train_unigram(words, seeds, room, fused_unigram_training.LONGEST)
        pieces = sorted(found.items(), key=lambda piece: -piece[1])
    numbered(special, [token for token, _ in pieces])
    return unigram_json([*((s, 0.0) for s in special), *pieces], special, normal, METASPACE)


def numbered(special: list[str], tokens: list[str]) -> dict[str, int]:
    """The ids: first the special tokens, then the others. Raises: GroundupError for one in both."""
    if both := set(special) & set(tokens):
        raise GroundupError(
            f"the special token {min(both)!r} is also a token of the corpus, expected one that no "
            "text spells; name it differently"
        )
    return {token: i for i, token in enumerate([*special, *tokens])}
