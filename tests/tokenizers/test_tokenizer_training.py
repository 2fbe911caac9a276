"""Training from end to end: bad input, learners' parts, likelihood, files."""

import argparse
import io
import json
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pytest
import sentencepiece
from transformers import PreTrainedTokenizerFast

from groundup.errors import GroundupError
from groundup.tokenizers import byte_pair_training, fused_unigram_training, unigram_training
from groundup.tokenizers.from_hugging_face import tokenizer_from_json, tokenizer_from_path
from groundup.tokenizers.pieces import Pieces
from groundup.tokenizers.pre_tokenization import splitter_from_json
from groundup.tokenizers.tokenizer_json import save_tokenizer
from groundup.tokenizers.tokenizer_training import METASPACE, train_tokenizer
from groundup.tokenizers.word_counts import WordCounts, corpus_files, count_words, read_blocks
from tokenizers import Tokenizer, models, pre_tokenizers

TEXT = [
    f"{who} {what} the {which} {where}, and {who} {what} it again."
    for who in ("Anna", "the captain", "somebody", "a neighbour")
    for what in ("sees", "paints", "remembers", "forgets", "measures")
    for which in ("harbour", "mountain", "neighbourhood", "measurement", "painting")
    for where in ("in the evening", "near the mountains", "remembering it", "for a captain")
]


def counted(texts: list[str], threads: int = 1) -> WordCounts:
    splitter = splitter_from_json(METASPACE)
    return count_words(texts, lambda text: splitter.cut(Pieces.of(text)), threads)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_what_cannot_be_learned_from_is_an_error(kind: str) -> None:
    for texts in ([], [""], ["", ""]):
        with pytest.raises(GroundupError, match="the corpus has no words, expected text"):
            train_tokenizer(texts, kind, 1000)
    with pytest.raises(GroundupError, match=r"is to have 10 tokens, expected at least \d+"):
        train_tokenizer(TEXT, kind, 10, coverage=1.0)
    with pytest.raises(GroundupError, match="coverage is 0, expected more than 0"):
        train_tokenizer(TEXT, kind, 500, coverage=0)
    with pytest.raises(GroundupError, match="expected at least 257: 1 special tokens and 256"):
        train_tokenizer(TEXT, "bpe", 256)


@pytest.mark.parametrize("kind", ["bpe", "wordpiece"])
def test_pairs_that_are_too_rare_are_not_joined(kind: str) -> None:
    spec = train_tokenizer(["ab ab ab cd cd"], kind, 1000, pattern="gpt2", least=3, coverage=1.0)
    assert "ab" in spec["model"]["vocab"]
    assert not {"cd", "##cd"} & set(spec["model"]["vocab"])


def test_characters_above_the_coverage_are_unknown() -> None:
    """a, b and c are 5, 8 and 10 of ten characters together."""
    spec = train_tokenizer(["a a a a a b b b c c"], "wordpiece", 100, coverage=0.8)
    assert {"a", "b", "c"} & set(spec["model"]["vocab"]) == {"a", "b"}


def test_names_that_are_none() -> None:
    with pytest.raises(GroundupError, match="kind is 'bpee', expected one of bpe, wordpiece"):
        train_tokenizer(TEXT, "bpee", 500)
    with pytest.raises(GroundupError, match="pattern is 'x', expected one of gpt2, cl100k"):
        train_tokenizer(TEXT, "bpe", 500, pattern="x")
    with pytest.raises(GroundupError, match="special token 'a' is also a token of the corpus"):
        train_tokenizer(TEXT, "bpe", 500, special=["a"])


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
@pytest.mark.parametrize("text", ["a", "\0", " ", "\n", "é", "aaaa", "\U0010ffff"])
def test_a_tiny_corpus_gives_a_small_vocabulary(kind: str, text: str) -> None:
    if kind == "wordpiece" and text in "\0 \n":  # it knows no white space
        with pytest.raises(GroundupError, match="the corpus has no words"):
            train_tokenizer([text], kind, 1000)
        return
    spec = train_tokenizer([text], kind, 1000, coverage=1.0)
    assert len(spec["model"]["vocab"]) < 300
    ours = Tokenizer.from_str(json.dumps(spec))
    assert ours.encode(text).ids


def test_files_that_are_not_text(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="does not exist, expected a text file"):
        corpus_files(tmp_path / "none")
    with pytest.raises(GroundupError, match=r"holds no file that fits '\*'"):
        corpus_files(tmp_path)
    (tmp_path / "a.txt").write_bytes(b"good \xff bad")
    (tmp_path / ".hidden.txt").write_text("x")
    files = corpus_files(tmp_path, "*.txt")
    assert [file.name for file in files] == ["a.txt"]
    with pytest.raises(GroundupError, match=r"a\.txt is not UTF-8 \(invalid start byte: byte 0xff"):
        list(read_blocks(files, lambda read: None))


def test_blocks_are_the_whole_text_in_whole_lines(tmp_path: Path) -> None:
    text = "".join(f"line {i} é\r\n" for i in range(150_000))
    (tmp_path / "a").write_text(text, newline="")
    read: list[int] = []
    blocks = list(read_blocks([tmp_path / "a"], read.append))
    assert len(blocks) > 1
    assert "".join(blocks) == text
    assert all(block.endswith("\n") for block in blocks)
    assert sum(read) == len(text.encode())


def test_threads_count_alike() -> None:
    one, three = counted(TEXT * 5), counted(TEXT * 5, threads=3)
    counts = [dict(zip(c.words.strings(), c.counts.tolist(), strict=True)) for c in (one, three)]
    assert counts[0] == counts[1]
    assert (
        counts[0]["▁the"] == sum(text.count(" the ") + text.startswith("the ") for text in TEXT) * 5
    )


@pytest.mark.parametrize("bad", [0, 19])
def test_an_error_in_a_thread_is_raised(bad: int) -> None:
    def cut(text: str) -> Pieces:
        if text == str(bad):
            raise GroundupError("no")
        return Pieces.of(text)

    with pytest.raises(GroundupError, match="no"):
        count_words(map(str, range(20)), cut, threads=2)


def test_files_load_here_and_there(tmp_path: Path) -> None:
    spec = train_tokenizer(TEXT, "unigram", 50, special=["<|im_end|>", "</s>"], coverage=1.0)
    assert len(spec["model"]["vocab"]) == 50
    learned = fused_unigram_training.train_unigram(counted(TEXT), 46)
    assert dict(spec["model"]["vocab"][4:]) == pytest.approx(dict(learned), abs=1e-8)
    one = tmp_path / "new" / "one.json"
    save_tokenizer(spec, tmp_path / "folder")
    save_tokenizer(spec, one)
    theirs = Tokenizer.from_file(str(one))
    loaded, text = (
        PreTrainedTokenizerFast.from_pretrained(tmp_path / "folder"),
        "the harbour , it .",
    )
    assert loaded.decode(loaded.encode(text)) == text  # no space is taken out
    for path in (tmp_path / "folder", one):
        ours = tokenizer_from_path(path)
        assert ours.encode(TEXT[0]) == theirs.encode(TEXT[0]).ids
        assert ours.eos_ids == {ours.id_of("<|im_end|>")}
        assert ours.decode(ours.encode(TEXT[0])) == TEXT[0]
        stream = ours.stream()
        assert "".join(map(stream.push, ours.encode("the harbour"))) == "the harbour"
    (tmp_path / "file").write_text("")
    with pytest.raises(GroundupError, match="is a file, expected a folder"):
        save_tokenizer(spec, tmp_path / "file")
    with pytest.raises(GroundupError, match="there is no"):
        tokenizer_from_path(tmp_path / "none.json")
    one.write_text('{"added_tokens": [{}]}')
    with pytest.raises(GroundupError, match=r"lacks a field .*KeyError"):
        tokenizer_from_path(one)


def test_texts_are_cut_at_random() -> None:
    spec = train_tokenizer(TEXT, "unigram", 300, lowercase=True)
    spec["post_processor"] = {"type": "BertProcessing", "cls": ["<s>", 1], "sep": ["</s>", 2]}
    ours, text = tokenizer_from_json(spec), TEXT[7] + "</s> ß"
    drawn = [ours.sample(text, 100.0, Random(seed)) for seed in range(20)]
    assert len({tuple(ids) for ids in drawn}) > 10
    assert {ours.decode(ids) for ids in drawn} == {ours.decode(ours.encode(text))}
    assert ours.sample(text, 1e-6, Random(1)) == ours.encode(text)
    assert ours.encode("THE")[1:-1] == ours.encode("the")[1:-1] != [0]
    assert ours.sample(text, 100.0, Random(3)) == drawn[3]
    other = tokenizer_from_json(train_tokenizer(TEXT, "bpe", 300))
    with pytest.raises(GroundupError, match="has one way to cut a text, expected a Unigram one"):
        other.sample(text, 1.0, Random(1))


def test_the_likelihood_is_at_least_sentencepieces() -> None:
    """Both vocabularies' scores are made a distribution; `tokenizers` finds the segmentations."""
    texts = [*filter(None, Path(argparse.__file__).read_text().splitlines())]
    corpus, size = counted(texts), 800
    written = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts), model_writer=written, vocab_size=size + 3, minloglevel=2,
        model_type="unigram", normalization_rule_name="identity", num_threads=1,
        character_coverage=1.0, split_by_unicode_script=False, split_by_number=False,
        remove_extra_whitespaces=False,
    )  # fmt: skip
    theirs = sentencepiece.SentencePieceProcessor(model_proto=written.getvalue())
    pieces = [(theirs.id_to_piece(i), theirs.get_score(i)) for i in range(3, len(theirs))]
    ours = fused_unigram_training.train_unigram(corpus, size)
    assert len(ours) == len(pieces) == size
    assert likelihood(ours, texts) >= 1.005 * likelihood(pieces, texts)  # both are negative


def likelihood(pieces: list[tuple[str, float]], texts: list[str]) -> float:
    """Of the likeliest segmentations of the texts."""
    total = np.log(sum(np.exp(score) for _, score in pieces))
    scores = {token: score - total for token, score in pieces}
    built = Tokenizer(models.Unigram([("<unk>", -100.0), *scores.items()], 0, False))
    built.pre_tokenizer = pre_tokenizers.Metaspace()
    return float(sum(scores[t] for text in texts for t in built.encode(text).tokens))


def test_the_compiled_training_is_the_readable_one() -> None:
    corpus = counted(TEXT)
    words = dict(zip(corpus.words.strings(), corpus.counts.tolist(), strict=True))
    tokens, scores = fused_unigram_training.seed_tokens(corpus)
    seeds = dict(zip(tokens.strings(), scores.tolist(), strict=True))
    for size in (60, 100, 200):
        expected = unigram_training.train_unigram(words, seeds, size, 16)
        found = dict(fused_unigram_training.train_unigram(corpus, size))
        assert found.keys() == expected.keys()
        assert all(abs(found[token] - expected[token]) < 1e-9 for token in found)


def test_seeds_are_the_repeated_substrings_that_branch() -> None:
    corpus = WordCounts()
    twice = Pieces.of("abcabd" * 2)
    corpus.add(twice._replace(starts=np.array([0, 6]), ends=np.array([6, 12])), np.array([1, 2]))
    tokens, scores = fused_unigram_training.seed_tokens(corpus)
    # ab twice in a word that occurs three times; every longer one is no more than the word's count,
    # and a and b are always followed alike, but single characters are always there.
    share = dict(zip(tokens.strings(), np.exp(scores), strict=True))
    assert set("abcd") <= share.keys()
    assert share["ab"] / share["c"] == pytest.approx(6 * 2 / 3)
    assert "bc" not in share
    assert "abcab" not in share
    assert max(map(len, share)) == 6  # the word itself, which ends there


@pytest.mark.parametrize("kind", ["bpe", "wordpiece", "unigram"])
def test_a_learners_training_is_the_one_that_trains(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = train_tokenizer(TEXT, kind, 400)
    for module in (byte_pair_training, unigram_training):
        monkeypatch.setattr(module, "__file__", f"/a/learners/{module.__name__}.py")
    found = train_tokenizer(TEXT, kind, 400)
    assert model_of(found) == model_of(expected)
    monkeypatch.setattr(byte_pair_training, "train_byte_pairs", lambda *_: [])
    monkeypatch.setattr(
        unigram_training, "train_unigram", lambda words, seeds, size, longest: {"a": -1.0}
    )
    assert len(train_tokenizer(TEXT, kind, 400)["model"]["vocab"]) < len(found["model"]["vocab"])


def model_of(spec: dict[str, Any]) -> Any:
    """Scores are compared to fewer digits."""
    model = spec["model"]
    if model["type"] != "Unigram":
        return model
    return {token: pytest.approx(score, abs=1e-6) for token, score in model["vocab"]}
