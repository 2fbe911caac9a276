"""The compiled segmentation of words, against the readable one that a learner's may replace."""

import random

import pytest

from groundup.tokenizers import unigram
from groundup.tokenizers.pre_tokenization import Splitter
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tokenizers.unigram_model import unigram_model


def test_ids_and_spans_are_those_of_the_readable_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Scores are whole numbers, so that there are many ties; d and é are unknown."""
    rng = random.Random(1)
    for _ in range(60):
        tokens = {"".join(rng.choices("abc", k=rng.randint(1, 4))) for _ in range(12)}
        pieces = [("<unk>", 0.0), *((t, -float(rng.randint(1, 5))) for t in sorted(tokens))]
        with monkeypatch.context() as patch:
            fused = Tokenizer(unigram_model(pieces, 0), Splitter([]))
            patch.setattr(unigram, "__file__", "/a/learners/unigram.py")
            readable = Tokenizer(unigram_model(pieces, 0), Splitter([]))
        for _ in range(30):
            text = "".join(rng.choices("aabbccdé", k=rng.randrange(12)))
            found, expected = fused.encode_with_spans(text), readable.encode_with_spans(text)
            assert found.ids.tolist() == expected.ids.tolist(), (text, pieces)
            assert found.spans.tolist() == expected.spans.tolist(), (text, pieces)


def test_a_learners_segmentation_is_the_one_that_encodes(monkeypatch: pytest.MonkeyPatch) -> None:
    pieces = [("<unk>", 0.0), ("a", -1.0), ("aa", -1.0)]
    monkeypatch.setattr(unigram, "__file__", "/a/learners/unigram.py")
    monkeypatch.setattr(
        "groundup.tokenizers.unigram_model.best_segmentation",
        lambda word, *_: [(i, i + 1) for i in range(len(word))],
    )
    assert Tokenizer(unigram_model(pieces, 0), Splitter([])).encode("aaa") == [1, 1, 1]
