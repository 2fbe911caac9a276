"""Folders in Hugging Face's layout: small vocabularies trained on the spot, loaded by both."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from transformers import PreTrainedTokenizerFast

from groundup.errors import GroundupError
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder, tokenizer_from_json
from tokenizers import (
    AddedToken,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

SPECIAL = ["<|begin|>", "<|end|>", "<|endoftext|>", "<|e"]
FLAGGED = [
    AddedToken("<left>", lstrip=True, normalized=False),
    AddedToken("<right>", rstrip=True, normalized=False),
    AddedToken("<both>", lstrip=True, rstrip=True, special=True, normalized=False),
    AddedToken("word", single_word=True, normalized=False),
    AddedToken("e\u0301", normalized=True),  # only é occurs in a text in form C
    AddedToken("  ", normalized=True),
    AddedToken("<|end|>x", normalized=False),
]
PRE = ["llama-bpe", "qwen2", "gpt-2", "gpt-2 after a space"]
Train = Callable[..., Any]


def byte_level(use_regex: bool = False, add_prefix_space: bool = False) -> Any:
    return pre_tokenizers.ByteLevel(add_prefix_space=add_prefix_space, use_regex=use_regex)


@pytest.fixture(scope="session")
def trained(pre_tokenizer_of: dict[str, Any], training_texts: list[str]) -> Train:
    """Trains a new vocabulary of a few hundred tokens for a pre-tokenizer of this name."""
    known = {**pre_tokenizer_of, "gpt-2 after a space": byte_level(True, True)}

    def train(pre: str, **model: Any) -> Any:
        built = Tokenizer(models.BPE(**model))
        built.pre_tokenizer = known[pre]
        built.decoder = decoders.ByteLevel()
        built.post_processor = processors.ByteLevel(trim_offsets=False)
        trainer = trainers.BpeTrainer(
            vocab_size=900,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        )
        built.train_from_iterator(training_texts, trainer)
        return built

    return train


def saved(built: Any, folder: Path, **config: Any) -> Any:
    PreTrainedTokenizerFast(
        tokenizer_object=built, clean_up_tokenization_spaces=False, **config
    ).save_pretrained(folder)
    return PreTrainedTokenizerFast.from_pretrained(folder)


def assert_equal(folder: Path, oracle: Any, texts: list[str]) -> None:
    mine = tokenizer_from_folder(folder)
    for text in texts:
        ids = oracle(text).input_ids
        assert mine.encode(text) == ids, repr(text)
        assert mine.decode(ids) == oracle.decode(ids), repr(text)
        assert mine.decode(ids, skip_special=True) == oracle.decode(ids, skip_special_tokens=True)
    plain = [oracle(text, split_special_tokens=True).input_ids for text in texts[:300]]
    assert [mine.encode(text, special=False) for text in texts[:300]] == plain


@pytest.mark.parametrize("pre", PRE)
@pytest.mark.parametrize("nfc", [False, True], ids=["as it is", "NFC"])
def test_ids_equal_hugging_face(
    pre: str, nfc: bool, tmp_path: Path, generated_texts: Callable[..., list[str]], trained: Train
) -> None:
    built = trained(pre)
    if nfc:
        built.normalizer = normalizers.NFC()
    oracle = saved(built, tmp_path, eos_token="<|end|>")
    assert_equal(tmp_path, oracle, generated_texts(2000, SPECIAL, seed=6))
    if nfc:
        mine = tokenizer_from_folder(tmp_path)
        assert mine.encode("e\u0301") == mine.encode("é")


@pytest.mark.parametrize("nfc", [False, True], ids=["as it is", "NFC"])
def test_flags_of_added_tokens_equal_hugging_face(
    nfc: bool, tmp_path: Path, generated_texts: Callable[..., list[str]], trained: Train
) -> None:
    built = trained("gpt-2 after a space")
    if nfc:
        built.normalizer = normalizers.NFC()
    built.add_tokens(FLAGGED)
    oracle = saved(built, tmp_path)
    glue = (
        [token.content for token in FLAGGED] * 2
        + SPECIAL
        + [" ", "\u2003\n", "x", "_", "²", "\x1c"]
    )
    assert_equal(tmp_path, oracle, generated_texts(4000, glue, seed=7))


def test_several_of_the_flags_matter(tmp_path: Path, trained: Train) -> None:
    built = trained("qwen2")
    built.normalizer = normalizers.NFC()
    built.add_tokens([*FLAGGED, AddedToken("<é>", special=True, normalized=True)])
    saved(built, tmp_path)
    mine = tokenizer_from_folder(tmp_path)
    left, word = mine.id_of("<left>"), mine.id_of("word")
    assert mine.encode("  \n<left>") == [left]
    assert mine.encode("<right> \t") == [mine.id_of("<right>")]
    assert word in mine.encode("a word.")
    assert word not in mine.encode("a words_word")
    assert mine.encode("<|end|>x") == [mine.id_of("<|end|>x")]  # the longest of two
    # A special one as it is written alone: the shield of a chat looks for it so.
    assert mine.encode("<é>") == [mine.id_of("<é>")]
    assert mine.id_of("<é>") not in mine.encode("<e\u0301>")
    for text in ("ab  cd  ef", "e\u0301  ab  e\u0301  cd<left>é"):  # two blanks are a token
        spans = dict.fromkeys(map(tuple, mine.encode_with_spans(text).spans.tolist()))
        assert "".join(text[a:b] for a, b in spans) == text
        assert sum(text[a:b] == "  " for a, b in spans) == text.count("  ")


def test_a_beginning_from_the_template_processor(
    tmp_path: Path, generated_texts: Callable[..., list[str]], trained: Train
) -> None:
    """As Llama 3's tokenizer.json has it."""
    built = trained("llama-bpe", ignore_merges=True)
    begin = built.token_to_id("<|begin|>")
    template = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=[("<|begin|>", begin)]
    )
    built.post_processor = processors.Sequence([processors.ByteLevel(trim_offsets=False), template])
    oracle = saved(built, tmp_path, bos_token="<|begin|>", eos_token="<|end|>")
    mine = tokenizer_from_folder(tmp_path)
    assert mine.encode("")[0] == mine.bos_id == begin
    assert_equal(tmp_path, oracle, generated_texts(2000, SPECIAL, seed=8))
    around = processors.TemplateProcessing(
        single="<|end|> $A <|e", special_tokens=[("<|end|>", 1), ("<|e", 3)]
    )
    built.post_processor = processors.Sequence([template, around])
    x = mine.id_of("x")
    assert built.encode("x").ids == [begin, x]  # and not between the ids of the second
    with pytest.raises(GroundupError, match="of which one adds tokens"):
        tokenizer_from_json(json.loads(built.to_str()))
    built.post_processor = processors.Sequence([around, processors.ByteLevel()])
    mine = tokenizer_from_json(json.loads(built.to_str()))
    assert mine.encode("x") == built.encode("x").ids == [1, x, 3]


def test_a_whole_word_before_its_merges(tmp_path: Path) -> None:
    vocabulary = {"a": 0, "b": 1, "c": 2, "ab": 3, "bc": 4, "abc": 5}
    for ignore in (False, True):
        model = models.BPE(vocabulary, [("b", "c"), ("a", "b")], ignore_merges=ignore)
        built = Tokenizer(model)
        built.pre_tokenizer, built.decoder = byte_level(), decoders.ByteLevel()
        oracle = saved(built, tmp_path)
        assert oracle("abc").input_ids == ([5] if ignore else [0, 4])
        assert_equal(tmp_path, oracle, ["abc", "ab", "abca", "bc", ""])


def test_a_byte_without_a_token_becomes_the_unknown_token_or_nothing(tmp_path: Path) -> None:
    for unknown in (None, "u"):
        built = Tokenizer(models.BPE({"u": 0, "a": 1, "aa": 2}, [("a", "a")], unk_token=unknown))
        built.pre_tokenizer, built.decoder = byte_level(), decoders.ByteLevel()
        assert_equal(tmp_path, saved(built, tmp_path), ["aba", "bb", "é", "aab"])


def test_every_id_that_ends_a_turn(tmp_path: Path, trained: Train) -> None:
    built = trained("qwen2")
    saved(built, tmp_path, bos_token="<|begin|>", eos_token="<|begin|>")
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    begin = {"content": config.pop("bos_token"), "lstrip": False}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "special_tokens_map.json").write_text(json.dumps({"bos_token": begin}))
    for ends in ([7, 9], [7]):
        written = {"eos_token_id": ends if len(ends) > 1 else ends[0]}
        (tmp_path / "generation_config.json").write_text(json.dumps(written))
        mine = tokenizer_from_folder(tmp_path)
        named = {mine.id_of(token) for token in ("<|begin|>", "<|end|>", "<|endoftext|>")}
        assert mine.eos_ids == {*ends} | named
        assert mine.bos_id == mine.id_of("<|begin|>")


@pytest.mark.parametrize("where", ["chat_template.jinja", "string", "list"])
def test_the_chat_template_is_found(where: str, tmp_path: Path, trained: Train) -> None:
    saved(trained("qwen2"), tmp_path, bos_token="<|begin|>")
    source = "{{ bos_token }}{{ messages[0]['content'] }}"
    config = json.loads((tmp_path / "tokenizer_config.json").read_text())
    if where == "chat_template.jinja":
        (tmp_path / where).write_text(source)
        config["chat_template"] = "an older one"
    else:
        named = [{"name": "tools", "template": "?"}, {"name": "default", "template": source}]
        config["chat_template"] = source if where == "string" else named
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    template = tokenizer_from_folder(tmp_path).chat_template
    assert template is not None
    assert template.render([{"role": "user", "content": "hi"}]) == "<|begin|>hi"


@pytest.mark.parametrize(
    ("changed", "complaint"),
    [
        ({"model": {"type": "WordLevel", "vocab": {}}}, "the model .* is 'WordLevel', expected"),
        ({"decoder": {"type": "Metaspace"}}, "the decoder .* is 'Metaspace', expected"),
        (
            {"normalizer": {"type": "Nmt"}},
            "the normalizer .*'Nmt'.* is not supported, expected",
        ),
        ({"pre_tokenizer": {"type": "Whitespace"}}, "pre-tokenizer .* is 'Whitespace', expected"),
        ({"pre_tokenizer": None}, "pre-tokenizer .* is None, expected 'ByteLevel'"),
        ({"post_processor": {"type": "RobertaProcessing"}}, "'RobertaProcessing'.*not supported"),
        (
            {
                "post_processor": {
                    "type": "TemplateProcessing",
                    "single": [{"Sequence": {"id": "A"}}, {"Sequence": {"id": "B"}}],
                    "special_tokens": {},
                }
            },
            "expected ByteLevel, BertProcessing, TemplateProcessing with one text",
        ),
    ],
)
def test_what_is_not_supported_is_refused(
    changed: dict[str, Any], complaint: str, tmp_path: Path, trained: Train
) -> None:
    saved(trained("qwen2"), tmp_path)
    path = tmp_path / "tokenizer.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    with pytest.raises(GroundupError, match=complaint):
        tokenizer_from_folder(tmp_path)


def test_settings_that_change_ids_are_refused(tmp_path: Path, trained: Train) -> None:
    spec = json.loads(trained("qwen2").to_str())
    for setting, value in {
        "byte_fallback": True,
        "fuse_unk": True,
        "dropout": 0.5,
        "continuing_subword_prefix": "##",
        "end_of_word_suffix": "</w>",
    }.items():
        changed = spec | {"model": spec["model"] | {setting: value}}
        (tmp_path / "tokenizer.json").write_text(json.dumps(changed))
        with pytest.raises(GroundupError, match=f"the {setting} in tokenizer.json is {value!r}, e"):
            tokenizer_from_folder(tmp_path)


def test_a_folder_without_a_tokenizer(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"has no tokenizer\.json, expected a model folder"):
        tokenizer_from_folder(tmp_path)
    (tmp_path / "tokenizer.json").write_text("{")
    with pytest.raises(GroundupError, match=r"is not JSON"):
        tokenizer_from_folder(tmp_path)
