"""The process that looks into models: it reads texts for the page Inside, and computes pictures.

    python -m groundup.app.reading_worker

One line of JSON on standard input is a `ReadingOrder` or a `PictureOrder`; one line on standard
output answers it: the `Reading`, the `AttentionMap`, the `Found`, or a `Failed`. The page's server
keeps out of the model's way so, and the model out of its. Nothing of the learner's is swapped in
here: what is shown is the library's own code.
"""

import os
import sys
from collections import OrderedDict
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import msgspec
import psutil
import torch
from torch import Tensor

from groundup.app.reading_order import (
    AttentionMap,
    Failed,
    Found,
    PictureOrder,
    Reading,
    ReadingOrder,
    Source,
)
from groundup.app.token_chance import TokenChance
from groundup.errors import GroundupError
from groundup.models.attention_maps import read_with_attention
from groundup.models.load import LoadedModel, load_model
from groundup.models.locate import locate
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Reader", "main", "read"]

LONGEST = 2048  # tokens that are read; of longer texts the beginning is left out
SHOWN = 128  # tokens whose attention is kept
TOP = 8  # alternatives
ROWS = 128  # of the vocabulary's scores, at a time
KEPT = 3  # readings whose attention is at hand


@dataclass
class _Read:
    reading: Reading
    maps: Tensor  # (layers, heads, n, 1 + n)


def read(loaded: LoadedModel, source: Source) -> _Read:
    """Read a text with a model.

    Raises:
        GroundupError: there is nothing to read, or the model has no template for conversations.
    """
    tokenizer = loaded.tokenizer
    ids, start = ids_of(tokenizer, source)
    if not ids:
        raise GroundupError("there is nothing to read: write some text")
    left_out = max(0, len(ids) - min(LONGEST, loaded.model.config.context))
    ids, start = ids[left_out:], max(0, start - left_out)
    tensor = torch.tensor(ids, device=loaded.model.device)
    hidden, maps = read_with_attention(loaded.model, tensor, SHOWN)
    n = maps.shape[2]
    earlier = len(ids) - n
    shares = shares_of(maps, earlier)
    reading = Reading(
        chances_of(loaded, hidden, ids, start), left_out,
        [text_of(tokenizer, i) for i in ids[earlier:]], earlier, *shares,
    )  # fmt: skip
    return _Read(reading, maps.half().cpu())


def ids_of(tokenizer: Tokenizer, source: Source) -> tuple[list[int], int]:
    """Token ids, and where the answer among them begins.

    A kept answer is cut into tokens anew: not always as the model wrote it, but nearly so.
    """
    if not source.messages:
        return tokenizer.encode(source.text, special=False), 0
    messages = [{"role": role, "content": content} for role, content in source.messages]
    before = tokenizer.encode_chat(messages[:-1], add_generation_prompt=True)
    ids = tokenizer.encode_chat(messages, add_generation_prompt=False)
    same = (i for i, pair in enumerate(zip(before, ids, strict=False)) if pair[0] != pair[1])
    return ids, next(same, min(len(before), len(ids)))


def chances_of(
    loaded: LoadedModel, hidden: Tensor, ids: list[int], start: int
) -> list[TokenChance]:
    tokenizer = loaded.tokenizer
    chances = []
    if start == 0:
        chances.append(TokenChance(text_of(tokenizer, ids[0]), None))
        start = 1
    for at in range(start, len(ids), ROWS):
        chosen = ids[at : at + ROWS]
        scores = loaded.model.logits(hidden[at - 1 : at - 1 + len(chosen)]).float()
        logprobs = torch.log_softmax(scores, dim=-1)
        best = logprobs.topk(TOP)
        for row, token in enumerate(chosen):
            pairs = zip(best.indices[row].tolist(), best.values[row].tolist(), strict=True)
            top = tuple((text_of(tokenizer, i), value) for i, value in pairs)
            chances.append(TokenChance(text_of(tokenizer, token), logprobs[row, token].item(), top))
    return chances


def shares_of(maps: Tensor, earlier: int) -> tuple[list[list[float]], ...]:
    """For each layer and head the mean share on the first token, the one before, and itself."""
    n = maps.shape[2]
    first = maps[..., 0 if earlier else 1].mean(-1)
    previous = maps.diagonal(0, 2, 3)[..., 1:].mean(-1) if n > 1 else torch.zeros_like(first)
    itself = maps.diagonal(1, 2, 3).mean(-1)
    return first.tolist(), previous.tolist(), itself.tolist()


def text_of(tokenizer: Tokenizer, token: int) -> str:
    return tokenizer.bytes_of(token).decode(errors="replace") or tokenizer.token_of(token)


def check_memory(path: Path) -> None:
    """Raises: GroundupError: the model would not fit beside what runs."""
    if path.is_dir():
        needed = sum(file.stat().st_size for file in path.glob("*.safetensors"))
    else:
        needed = 4 * path.stat().st_size  # from about 4 bits to 16
    free = psutil.virtual_memory().available
    if needed > 0.8 * free:
        raise GroundupError(
            f"to look into the model it is loaded once more, which takes about "
            f"{needed / 1e9:.1f} GB, and {free / 1e9:.1f} GB are free: end other programs, or look "
            "into a smaller model"
        )


class Reader:
    """One model at a time, and what was read last."""

    def __init__(self) -> None:
        self._loaded: LoadedModel | None = None
        self._reads: OrderedDict[Source, _Read] = OrderedDict()

    def answer(self, order: ReadingOrder | PictureOrder) -> Reading | AttentionMap | Found | Failed:
        """What was ordered, or why it cannot be had."""
        try:
            return self._taken(order)
        except ValueError as error:
            return Failed(str(error))
        except Exception as error:  # it is told, and the process goes on
            return Failed(f"{type(error).__name__}: {error}")

    def _taken(self, order: ReadingOrder | PictureOrder) -> Reading | AttentionMap | Found:
        if isinstance(order, PictureOrder):
            picture: Any = import_module(f"groundup.app.pictures.{order.picture}")
            return Found(picture.compute(self._model(order.model), **order.values))
        source = order.source
        if source not in self._reads:
            self._reads[source] = read(self._model(source.model), source)
            while len(self._reads) > KEPT:
                self._reads.popitem(last=False)
        self._reads.move_to_end(source)
        found = self._reads[source]
        if order.head is None:
            return found.reading
        layer, head = order.head
        if not (0 <= layer < found.maps.shape[0] and 0 <= head < found.maps.shape[1]):
            raise GroundupError(f"the model has no head {head} in a layer {layer}")
        return AttentionMap((1000 * found.maps[layer, head].float()).round().int().tolist())

    def _model(self, source: str) -> LoadedModel:
        if self._loaded is None or self._loaded.name != source:
            self._loaded = None
            check_memory(locate(source))
            self._loaded = load_model(source)
        return self._loaded


def main() -> None:
    """Answer orders until standard input ends."""
    orders, answers = sys.stdin.buffer, sys.stdout.buffer
    sys.stdout = sys.stderr  # what libraries say is no answer
    os.nice(5)  # an answer of the chat comes first
    reader, decode = Reader(), msgspec.json.Decoder(ReadingOrder | PictureOrder).decode
    for line in orders:
        answers.write(msgspec.json.encode(reader.answer(decode(line))) + b"\n")
        answers.flush()


if __name__ == "__main__":
    main()
