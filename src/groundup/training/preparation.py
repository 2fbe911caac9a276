"""From a corpus to a folder that training reads: tokenizer, token shards, and what they are of."""

import hashlib
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.tokenizers.tokenizer_json import save_tokenizer
from groundup.tokenizers.tokenizer_training import train_tokenizer
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.chat_format import CHAT, PLAIN, TURN_TOKENS, write_chat_format
from groundup.training.corpus import Piece, cut, find_documents, hold_out, read_piece
from groundup.training.data_order import shuffled
from groundup.training.token_shards import TokenShards, write_token_shards

__all__ = ["prepare"]

CORPUS = "corpus.json"
SAMPLE = 16_000_000  # characters: a byte-pair vocabulary learns little from more

Progress = Callable[[str, int, int], None]


def prepare(
    sources: Sequence[Path],
    folder: Path,
    vocabulary: int | None,
    *,
    chat: bool = False,
    workers: int = 1,
    progress: Progress = lambda what, done, total: None,
) -> tuple[TokenShards, TokenShards]:
    """The tokens to train on and the tokens held out; made once, and found again afterwards.

    Args:
        sources: files and folders of documents.
        folder: of the model; the tokenizer lies in it, the tokens in its folder ``data``.
        vocabulary: tokens of byte-pair encoding; None takes the characters.
        chat: whether there are tokens for turns.
        workers: processes that encode.
        progress: is told what is done, how much of it, of how much.

    Raises:
        GroundupError: a document cannot be read, there are none, or the folder holds the tokens of
            another corpus.
    """
    data = folder / "data"
    documents = find_documents(sources)
    sizes = [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in documents]
    corpus = {
        "documents": len(documents),
        "vocabulary": vocabulary or "characters",
        "sha256": hashlib.sha256("\n".join(sizes).encode()).hexdigest(),
    }
    index = data / CORPUS
    if index.is_file():
        if json.loads(index.read_text("utf-8")) != corpus:
            raise GroundupError(
                f"{data} holds the tokens of another corpus or vocabulary, or documents changed "
                f"since: name another --out, or delete {folder}"
            )
    else:
        training, validation = hold_out(documents)
        _write_tokenizer(training, folder, vocabulary, chat, workers, progress)
        for name, pieces in (("validation", validation), ("training", training)):
            write_token_shards(
                pieces, folder, data / name, workers=workers, progress=_named(progress, name)
            )
        write_text(index, json.dumps(corpus, indent=2))
    return TokenShards(data / "training"), TokenShards(data / "validation")


def _named(progress: Progress, name: str) -> Callable[[int, int], None]:
    return lambda done, total: progress(f"{name} tokens", done, total)


def _write_tokenizer(
    pieces: Sequence[Piece],
    folder: Path,
    vocabulary: int | None,
    chat: bool,
    workers: int,
    progress: Progress,
) -> None:
    if all(piece.start == piece.stop or not read_piece(piece) for piece in pieces[:1000]):
        raise GroundupError("the documents are empty: give it some text")
    if vocabulary is None:
        progress("vocabulary", 0, 1)
        spec = character_tokenizer(read_piece(part) for group in cut(pieces) for part in group)
        progress("vocabulary", 1, 1)
    else:
        spec = train_tokenizer(
            _sample(pieces),
            "bpe",
            vocabulary,
            pattern="gpt2",
            special=TURN_TOKENS if chat else (),
            threads=workers,
            advance=lambda tokens: progress("vocabulary", tokens, vocabulary),
        )
    try:
        save_tokenizer(spec, folder)
        write_chat_format(folder, CHAT if chat else PLAIN)
    except OSError as error:
        raise GroundupError(f"cannot write the tokenizer to {folder}: {error.strerror}") from None


def _sample(pieces: Sequence[Piece]) -> Iterator[str]:
    """Texts of all parts of the corpus, up to `SAMPLE` characters."""
    parts = [part for group in cut(pieces) for part in group]
    left = SAMPLE
    for place in shuffled(np.arange(len(parts)), len(parts), seed=0):
        text = read_piece(parts[place])
        yield text[:left]
        left -= len(text)
        if left <= 0:
            return
