"""Trained tokenizers, written as tokenizer.json, against the libraries that read them.

Twenty thousand generated texts, spread over the kinds; ids, offsets and decoded texts.
"""

import io
import json
import random
import unicodedata
from collections.abc import Callable
from typing import Any

import pytest
import sentencepiece
import tiktoken

import tokenizers
from groundup.errors import GroundupError
from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.from_hugging_face import tokenizer_from_json
from groundup.tokenizers.normalization import normalizer_from_json
from groundup.tokenizers.pre_tokenization import PATTERNS
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tokenizers.tokenizer_training import SPECIAL_TOKENS, train_tokenizer
from tokenizers import Regex, models, normalizers, pre_tokenizers, trainers

Generate = Callable[..., list[str]]
TRAINED = [*(f"bpe {name}" for name in PATTERNS), "wordpiece", "wordpiece lower", "unigram"]


@pytest.fixture(scope="session")
def corpus(training_texts: list[str], generated_texts: Generate) -> list[str]:
    return [*training_texts[: len(training_texts) // 10], *generated_texts(300, [" "], seed=20)]


@pytest.fixture(scope="session")
def spec_of(corpus: list[str]) -> dict[str, dict[str, Any]]:
    found = {}
    for name in TRAINED:
        kind, setting = kind_of(name), name.partition(" ")[2]
        options: dict[str, Any] = {"pattern": setting} if kind == "bpe" else {}
        found[name] = train_tokenizer(
            corpus, kind, 6000 if kind != "bpe" else 900, lowercase=setting == "lower",
            coverage=0.99, **options,
        )  # fmt: skip
    return found


def kind_of(name: str) -> str:
    return name.partition(" ")[0]


def as_of_old(character: str) -> bool:
    """Whether it is of the same category since Unicode 3.2."""
    return unicodedata.ucd_3_2_0.category(character) == unicodedata.category(character)


def oracle_of(spec: dict[str, Any]) -> Any:
    return tokenizers.Tokenizer.from_str(json.dumps(spec))


def assert_equal(ours: Tokenizer, theirs: Any, texts: list[str], spans: bool = True) -> None:
    for text, encoded in zip(texts, theirs.encode_batch(texts), strict=True):
        ids, offsets = ours.encode_with_spans(text)
        assert ids.tolist() == encoded.ids, repr(text)
        if spans:
            assert [(a, b) for a, b in offsets.tolist()] == encoded.offsets, repr(text)
    skipped = [ours.decode(ours.encode(text), skip_special=True) for text in texts]
    assert skipped == theirs.decode_batch([e.ids for e in theirs.encode_batch(texts)])


@pytest.mark.parametrize("name", TRAINED)
def test_ids_offsets_and_texts_equal_the_tokenizers_library(
    name: str, spec_of: dict[str, Any], generated_texts: Generate
) -> None:
    spec = spec_of[name]
    special = [token["content"] for token in spec["added_tokens"]]
    texts = generated_texts(2000, special, seed=21)
    ours = tokenizer_from_json(spec)
    if kind_of(name) == "wordpiece":  # its library's Unicode tables are older
        texts = ["".join(filter(as_of_old, text)) for text in texts]
    # Their offsets of a composed character are its first part's alone: compared without, below.
    assert_equal(ours, oracle_of(spec), texts, spans=name != "unigram")


def test_unigram_offsets_where_nothing_is_composed(
    spec_of: dict[str, Any], generated_texts: Generate
) -> None:
    spec = spec_of["unigram"] | {"normalizer": None}
    texts = generated_texts(2000, SPECIAL_TOKENS["unigram"], seed=22)
    assert_equal(tokenizer_from_json(spec), oracle_of(spec), texts)


def test_settings_of_a_file_are_followed(
    spec_of: dict[str, Any], generated_texts: Generate
) -> None:
    """They are not those of the files that are written here."""
    texts = generated_texts(300, ["a.", " , it 's do not", "▁"], seed=26)
    texts = ["".join(filter(as_of_old, text)) for text in texts]
    for kind, step, setting, value in (
        ("wordpiece", "decoder", "cleanup", False),
        ("wordpiece", "model", "max_input_chars_per_word", 3),
        ("unigram", "pre_tokenizer", "prepend_scheme", "never"),
        ("unigram", "pre_tokenizer", "split", False),
    ):
        spec = spec_of[kind]
        changed = spec | {step: spec[step] | {setting: value}}
        if step == "pre_tokenizer":
            changed["decoder"] = changed[step]
        assert_equal(tokenizer_from_json(changed), oracle_of(changed), texts, spans=False)
    for kind, step, change, said in (
        ("wordpiece", "decoder", {"prefix": "@@"}, "prefix in the decoder .* is '@@'"),
        ("unigram", "model", {"byte_fallback": True}, "byte_fallback .* is True"),
    ):
        with pytest.raises(GroundupError, match=said):
            tokenizer_from_json(spec_of[kind] | {step: spec_of[kind][step] | change})


def test_what_a_file_asks_for_is_what_was_meant(spec_of: dict[str, Any]) -> None:
    """A library that reads a mistake in the file agrees with it."""
    whole, lower, pieces = (
        tokenizer_from_json(spec_of[name]) for name in ("wordpiece", "wordpiece lower", "unigram")
    )
    assert whole.encode("") == [whole.id_of("[CLS]"), whole.id_of("[SEP]")]
    assert lower.decode(lower.encode("The x."), skip_special=True) == "the x."
    assert lower.encode("THE") == lower.encode("the")
    assert whole.encode("THE") != whole.encode("the")
    assert pieces.encode("ﬁ") == pieces.encode("fi")
    assert not pieces.special_ids & {*pieces.encode("</s><s>", special=False)} - {0}


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_normalisation_and_where_it_comes_from(form: str, generated_texts: Generate) -> None:
    """Each new character comes from a stretch that is its own when normalised alone."""
    normalize = normalizer_from_json({"type": form})
    oracle = getattr(normalizers, form)()
    moved = 0
    for text in generated_texts(1000, ["e\u0301\u0323", "한", "\u1112\u1161\u11ab"], seed=25):
        new, origins = normalize(text)
        assert new == oracle.normalize_str(text), repr(text)
        if origins is None:
            assert len(new) == len(text)
            continue
        moved += 1
        spans = [*dict.fromkeys(map(tuple, origins.tolist()))]
        assert "".join(oracle.normalize_str(text[a:b]) for a, b in spans) == new
        assert [b for _, b in spans[:-1]] == [a for a, _ in spans[1:]]
    assert moved > 100


@pytest.mark.parametrize("pattern", PATTERNS)
def test_ids_equal_tiktoken(
    pattern: str, spec_of: dict[str, Any], generated_texts: Generate
) -> None:
    """Its ranks are the ids of bytes and merged tokens, in the order of the merges."""
    spec = spec_of[f"bpe {pattern}"]
    spelled = {character: byte for byte, character in byte_alphabet().items()}
    ranks = {
        bytes(map(spelled.__getitem__, token)): i
        for token, i in spec["model"]["vocab"].items()
        if i > 0
    }
    end = {"<|endoftext|>": 0}
    theirs = tiktoken.Encoding(
        "own", pat_str=PATTERNS[pattern], mergeable_ranks=ranks, special_tokens=end
    )
    ours = tokenizer_from_json(spec)
    texts = generated_texts(1000, [*end], seed=23)
    expected = theirs.encode_batch(texts, num_threads=1, allowed_special="all")
    assert [ours.encode(text) for text in texts] == expected
    for text in texts[:300]:
        ids, spans = ours.encode_with_spans(text)
        _, starts = theirs.decode_with_offsets(ids.tolist())
        assert spans[:, 0].tolist() == starts, repr(text)


def test_ids_and_offsets_equal_sentencepiece(corpus: list[str], generated_texts: Generate) -> None:
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(corpus), model_writer=written, vocab_size=1500, minloglevel=2,
        model_type="unigram", normalization_rule_name="identity", num_threads=1,
        hard_vocab_limit=False, remove_extra_whitespaces=False, character_coverage=0.98,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [(theirs.id_to_piece(i), theirs.get_score(i)) for i in range(theirs.get_piece_size())]
    metaspace = {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always"}
    ours = tokenizer_from_json(
        {
            "added_tokens": [],
            "pre_tokenizer": metaspace,
            "decoder": metaspace,
            "model": {"type": "Unigram", "unk_id": 0, "vocab": [[*piece] for piece in pieces]},
        }
    )
    # It puts a ▁ before a space too, and drops U+0000.
    texts = [t.replace("\0", "").lstrip(" ▁") for t in generated_texts(2000, ["▁"], seed=24)]
    texts = [*filter(None, texts)]
    assert len(texts) > 1500
    encoded = [theirs.encode(text, return_type="proto") for text in texts]
    ties = 0
    for text, expected in zip(texts, encoded, strict=True):
        ids, spans = ours.encode_with_spans(text)
        their_ids = [piece.id for piece in expected.pieces]
        if ids.tolist() != their_ids:  # its sums are float32: it sees other ties
            scores = [sum(pieces[i][1] for i in found) for found in (ids, their_ids)]
            assert abs(scores[0] - scores[1]) < 1e-5, repr(text)
            ties += 1
            continue
        # In bytes; a first piece ▁ alone stands for nothing there, and for a character here.
        ends = [len(text[:end].encode()) for end in spans[:, 1].tolist()]
        assert ends[1:] == [piece.end for piece in expected.pieces][1:], repr(text)
    assert ties < 20


@pytest.mark.parametrize("pattern", PATTERNS)
def test_merges_equal_the_tokenizers_library(pattern: str, corpus: list[str]) -> None:
    built = tokenizers.Tokenizer(models.BPE())
    built.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(PATTERNS[pattern]), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    trainer = trainers.BpeTrainer(
        vocab_size=1500,
        special_tokens=SPECIAL_TOKENS["bpe"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    built.train_from_iterator(corpus, trainer)
    expected = json.loads(built.to_str())["model"]
    found = train_tokenizer(corpus, "bpe", 1500, pattern=pattern)["model"]
    assert len(expected["merges"]) > 1000
    assert found == expected


def test_wordpiece_vocabulary_equals_the_tokenizers_library() -> None:
    """Their trainer numbers the characters inside words at random, so ties fall otherwise."""
    rng = random.Random(5)
    words = ["".join(rng.choices("abcdefgh", k=rng.randint(1, 7))) for _ in range(3000)]
    texts = [" ".join([word] * (1 + 9000 // (i + 1))) for i, word in enumerate(words)]
    built = tokenizers.Tokenizer(models.WordPiece(unk_token="[UNK]"))
    built.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    trainer = trainers.WordPieceTrainer(
        vocab_size=400, special_tokens=SPECIAL_TOKENS["wordpiece"], show_progress=False
    )
    built.train_from_iterator(texts, trainer)
    theirs = json.loads(built.to_str())["model"]
    ours = train_tokenizer(texts, "wordpiece", 400)["model"]
    assert ours | {"vocab": theirs["vocab"]} == theirs
    expected, found = set(theirs["vocab"]), set(ours["vocab"])
    assert len(found) == len(expected) == 400
    assert len(found & expected) >= 390
