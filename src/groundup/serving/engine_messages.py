"""What a server and its engine process say to each other: plain data in msgpack, no pickle.

Over a stream of bytes; each message is a frame, its length in 4 bytes before it.
"""

from dataclasses import dataclass, field
from typing import Literal

import msgspec
from msgspec import Struct

from groundup.engine.request import EngineStats, Request, Token
from groundup.engine.step_log import EngineView

__all__ = [
    "PART_FAILED",
    "Add",
    "Beat",
    "Cancel",
    "Embed",
    "EngineOptions",
    "Frames",
    "Look",
    "Order",
    "Ready",
    "Refused",
    "Report",
    "Step",
    "Unusable",
    "Vector",
    "View",
    "frame",
]

LENGTH = 4  # bytes
PART_FAILED = 3  # the status of a process that a learner's part has ended
encoder = msgspec.msgpack.Encoder()


@dataclass(frozen=True)
class EngineOptions:
    """How an engine process is made: the first message to it."""

    model: str  # as `load_model` takes it
    # Of the matrices; None: the fastest that is about as exact as the model. See `PackedMatrix`.
    dtype: Literal["float32", "bfloat16", "int8", "int4"] | None = None
    threads: int | None = None  # None: as many as the libraries choose
    cores: tuple[int, ...] = ()  # to stay on; none: all of them
    positions: int | None = None  # of the cache; None: 16,384, or the context where that is longer
    token_budget: int = 512  # these two as `Engine` takes them
    max_sequences: int = 64
    speculate: str | None = None  # "ngram", or a draft model, as `load_model` takes it
    draft_tokens: int = 8
    adapters: dict[str, str] = field(default_factory=dict)  # folders of LoRA adapters, by name


class Add(Struct, tag=0, array_like=True):
    key: int
    request: Request


class Cancel(Struct, tag=1, array_like=True):
    key: int


class Embed(Struct, tag=2, array_like=True):
    key: int
    prompt: tuple[int, ...]


class Look(Struct, tag=3, array_like=True):
    """Tell what there is to see of the engine."""

    key: int


Order = Add | Cancel | Embed | Look


class Ready(Struct, tag=0, array_like=True):
    """The model is loaded, and its kernels are compiled."""

    context: int


class Unusable(Struct, tag=1, array_like=True):
    """There will be no engine: the options are not possible, and why."""

    reason: str


class Beat(Struct, tag=2, array_like=True):
    """The process runs."""


class Step(Struct, tag=3, array_like=True):
    """All requests' tokens of one step, and the figures after it."""

    tokens: list[tuple[int, Token]]
    stats: EngineStats


class Refused(Struct, tag=4, array_like=True):
    """A request or a text that the engine does not take."""

    key: int
    reason: str
    mendable: bool  # by the caller; else it is the engine that failed


class Vector(Struct, tag=5, array_like=True):
    """A text's embedding."""

    key: int
    values: bytes  # float32, as this machine writes them


class View(Struct, tag=6, array_like=True):
    """What there is to see of the engine."""

    key: int
    view: EngineView


Report = Ready | Unusable | Beat | Step | Refused | Vector | View


def frame(message: EngineOptions | Order | Report) -> bytearray:
    """A message's bytes, with their length before them."""
    buffer = bytearray(LENGTH)
    encoder.encode_into(message, buffer, LENGTH)
    buffer[:LENGTH] = (len(buffer) - LENGTH).to_bytes(LENGTH, "little")
    return buffer


class Frames:
    """Cuts a stream of bytes into its frames."""

    def __init__(self) -> None:
        self._buffer = bytearray()

    def feed(self, data: bytes) -> list[bytes]:
        """The frames that are complete with these bytes, without their lengths."""
        buffer = self._buffer
        buffer += data
        frames, at = [], 0
        while len(buffer) >= at + LENGTH:
            end = at + LENGTH + int.from_bytes(buffer[at : at + LENGTH], "little")
            if len(buffer) < end:
                break
            frames.append(bytes(buffer[at + LENGTH : end]))
            at = end
        del buffer[:at]
        return frames
