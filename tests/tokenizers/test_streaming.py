"""Streamed text, against decoding everything at once."""

import codecs
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from groundup.tokenizers.streaming import StreamDecoder
from groundup.tokenizers.tokenizer import Tokenizer

IDS = st.lists(st.integers(0, 49_200) | st.integers(17, 300), max_size=40)


@settings(max_examples=1000, deadline=None)
@given(IDS)
def test_joined_pieces_equal_decoding_all(
    ours: Tokenizer, hugging_face: Any, ids: list[int]
) -> None:
    stream = ours.stream()
    text = "".join(map(stream.push, ids)) + stream.finish()
    assert text == ours.decode(ids)
    assert text == hugging_face.decode([i for i in ids if i < 49_152])


@settings(max_examples=1000, deadline=None)
@given(st.binary(max_size=24) | st.text(max_size=8).map(str.encode))
def test_any_bytes_one_at_a_time(data: bytes) -> None:
    stream = StreamDecoder(lambda byte: bytes([byte]))
    assert "".join(map(stream.push, data)) + stream.finish() == data.decode(errors="replace")


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), max_size=12))
@example("\ufeffa")
def test_never_half_a_character_and_never_late(text: str) -> None:
    """Each character comes with its last byte and nothing before it."""
    stream = StreamDecoder(lambda byte: bytes([byte]))
    for character in text:
        *first, last = character.encode()
        assert [stream.push(byte) for byte in first] == [""] * len(first)
        assert stream.push(last) == character
    assert stream.finish() == ""


def test_an_unfinished_character_is_one_replacement() -> None:
    stream = StreamDecoder(lambda byte: bytes([byte]))
    assert [stream.push(byte) for byte in "€".encode()[:2]] == ["", ""]
    assert stream.finish() == codecs.decode("€".encode()[:2], errors="replace") == "\ufffd"
