"""Words, against the `tokenizers` library's pre-tokenizers."""

import json
from collections.abc import Callable
from typing import Any

import pytest
import regex
from tokenizers.pre_tokenizers import ByteLevel, Digits, Sequence, Split

from groundup.errors import GroundupError
from groundup.tokenizers.byte_pair_encoding import byte_alphabet
from groundup.tokenizers.pre_tokenization import NAMES as NAMED
from groundup.tokenizers.pre_tokenization import (
    PATTERNS,
    Splitter,
    named_splitter,
    pattern_step,
    splitter_from_json,
)
from tokenizers import Regex, pre_tokenizers

NAMES = ["gpt-2", "smollm", "llama-bpe", "qwen2", "default"]
Generate = Callable[..., list[str]]


def byte_level(add_prefix_space: bool = False, use_regex: bool = False) -> ByteLevel:
    return ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


DESCRIBED: list[Any] = [
    byte_level(add_prefix_space=True, use_regex=True),
    byte_level(add_prefix_space=True),
    Sequence([Digits(individual_digits=False), byte_level(add_prefix_space=True, use_regex=True)]),
    Sequence([Digits(individual_digits=True), Digits(individual_digits=False), byte_level()]),
    Sequence([Split(Regex(r"\s+"), "removed"), byte_level()]),
    Sequence([Split(Regex(r"\p{L}+|[\d.]+"), "removed", invert=True), byte_level()]),
    Sequence([Split(Regex(r"\p{Lu}+"), "isolated", invert=True), byte_level()]),
]


def spelled(words: list[str]) -> list[str]:
    alphabet = byte_alphabet()
    return ["".join(alphabet[byte] for byte in word.encode()) for word in words]


def their_words(oracle: Any, text: str) -> list[str]:
    return [word for word, _ in oracle.pre_tokenize_str(text)]


def described(oracle: Any) -> dict[str, Any]:
    spec: dict[str, Any] = json.loads(oracle.__getstate__())
    return spec


@pytest.mark.parametrize("name", NAMES)
def test_names_and_their_descriptions_give_the_library_s_words(
    name: str, pre_tokenizer_of: dict[str, Any], generated_texts: Generate
) -> None:
    named, from_json = named_splitter(name), splitter_from_json(described(pre_tokenizer_of[name]))
    for text in generated_texts(2000, ["<|im_end|>"], seed=4):
        expected = their_words(pre_tokenizer_of[name], text)
        assert spelled(named(text)) == expected, repr(text)
        assert spelled(from_json(text)) == expected, repr(text)


@pytest.mark.parametrize("name", ["smollm", "llama-bpe"])  # between them, all classes in use
def test_every_code_point_of_every_plane(
    name: str, pre_tokenizer_of: dict[str, Any], settled_characters: frozenset[str]
) -> None:
    """Each stands between two letters, so how the words are cut tells its class."""
    characters = sorted(settled_characters)
    assert len(characters) > 1_090_000
    for first in range(0, len(characters), 4096):
        text = "".join(f"x{c}" for c in characters[first : first + 4096])
        expected = their_words(pre_tokenizer_of[name], text)
        assert spelled(named_splitter(name)(text)) == expected, hex(ord(characters[first]))


@pytest.mark.parametrize("oracle", DESCRIBED, ids=str)
def test_descriptions_give_the_library_s_words(oracle: Any, generated_texts: Generate) -> None:
    split = splitter_from_json(described(oracle))
    for text in generated_texts(500, ["<|im_end|>"], seed=5):
        assert spelled(split(text)) == their_words(oracle, text), repr(text)


def test_other_names_of_the_same_words() -> None:
    for name, known in (
        ("starcoder", "smollm"),
        ("llama3", "llama-bpe"),
        ("llama-v3", "llama-bpe"),
        ("deepseek-r1-qwen", "qwen2"),
    ):
        assert NAMED[name] == NAMED[known]


def test_an_apostrophe_with_a_long_s_is_a_contraction_for_llama_alone() -> None:
    assert named_splitter("llama-bpe")("it'ſ") == ["it", "'ſ"]
    assert named_splitter("gpt-2")("it'ſ") == ["it", "'", "ſ"]


@pytest.mark.parametrize(
    "oracle",
    [
        pre_tokenizers.Whitespace(),
        pre_tokenizers.Metaspace(prepend_scheme="first"),
        Sequence([pre_tokenizers.Punctuation(), byte_level()]),
        Split("a", "isolated"),
        Split(Regex("a"), "merged_with_previous"),
        Split(Regex("a"), "contiguous"),
    ],
    ids=str,
)
def test_other_kinds_are_refused_by_name(oracle: Any) -> None:
    spec = described(oracle)
    kind = spec.get("pretokenizers", [spec])[0]["type"]
    with pytest.raises(GroundupError, match=f"{kind}.* is not supported, expected ByteLevel"):
        splitter_from_json(spec)


def test_an_unknown_name_is_refused() -> None:
    with pytest.raises(GroundupError, match="'tekken' is not supported, expected one of default"):
        named_splitter("tekken")


def test_a_pattern_that_cannot_be_used_is_refused() -> None:
    spec = {"type": "Split", "pattern": {"Regex": "(a"}, "behavior": "Isolated", "invert": False}
    with pytest.raises(GroundupError, match="not a valid regular"):
        splitter_from_json(spec)


@pytest.mark.parametrize("name", PATTERNS)
def test_the_loops_cut_as_the_patterns_that_they_stand_for(
    name: str, generated_texts: Generate
) -> None:
    split = Splitter([pattern_step(PATTERNS[name])])
    pattern = regex.compile(PATTERNS[name])
    for text in generated_texts(2000, ["'S", "'ll", "/\r\n", "aͅB", "ǅʰ"], seed=6):
        assert split(text) == [match[0] for match in pattern.finditer(text)], repr(text)
    if name != "gpt2":  # the library's pattern, where it is one of the two
        oracle = Split(Regex(PATTERNS[name]), "isolated")
        for text in generated_texts(500, ["'S", "'ll"], seed=7):
            assert split(text) == their_words(oracle, text), repr(text)


@pytest.mark.parametrize("name", PATTERNS)
def test_each_loop_is_another(name: str, generated_texts: Generate) -> None:
    """So that the comparison above would see one that stands in the place of another."""
    for other in PATTERNS:
        texts = generated_texts(200, ["'S", "/\r\n"], seed=8)
        splits = [Splitter([pattern_step(PATTERNS[n])]) for n in (name, other)]
        same = all(splits[0](text) == splits[1](text) for text in texts)
        assert same == (name == other)
