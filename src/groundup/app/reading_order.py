"""What the app and the process that looks into models say to each other."""

from typing import Any

from msgspec import Struct

from groundup.app.token_chance import TokenChance

__all__ = ["AttentionMap", "Failed", "Found", "PictureOrder", "Reading", "ReadingOrder", "Source"]


class Source(Struct, frozen=True):
    """What is read: a text as it is, or a conversation as the model's template writes it."""

    model: str
    text: str = ""
    messages: tuple[tuple[str, str], ...] = ()  # role, content; the last one is the answer


class ReadingOrder(Struct, frozen=True, tag="read"):
    source: Source
    head: tuple[int, int] | None = None  # layer and head whose map is wanted; None: the reading


class PictureOrder(Struct, frozen=True, tag="picture"):
    """What a lesson's picture shows: its file's ``compute`` is called with the model."""

    model: str
    picture: str  # its file's name
    values: dict[str, str | float]


class Reading(Struct, frozen=True, tag="reading"):
    """What a model makes of a text."""

    chances: list[TokenChance]  # of the text's tokens, or the answer's
    left_out: int  # tokens at the beginning that were not read
    tokens: list[str]  # those whose attention is shown: the last of all
    earlier: int  # tokens before them
    # By layer and head: the mean share of attention on the text's first token, on the token before,
    # on the token itself.
    first: list[list[float]]
    previous: list[list[float]]
    itself: list[list[float]]


class AttentionMap(Struct, frozen=True, tag="map"):
    """Where one head looks, in thousandths; see `read_with_attention` for rows and columns."""

    rows: list[list[int]]


class Found(Struct, frozen=True, tag="found"):
    """What a picture's ``compute`` returned."""

    values: dict[str, Any]


class Failed(Struct, frozen=True, tag="failed"):
    reason: str
