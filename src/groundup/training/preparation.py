"""From a corpus to a folder that training reads: tokenizer, token shards, and what they are of."""

import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.training.corpus import Piece, find_documents, hold_out
from groundup.training.token_shards import TokenShards, write_token_shards

__all__ = ["prepare"]

CORPUS = "corpus.json"


def prepare(
    sources: Sequence[Path],
    folder: Path,
    tokenizer: str,
    write_tokenizer: Callable[[Sequence[Piece], Path], object],
    *,
    workers: int,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[TokenShards, TokenShards]:
    """The tokens to train on and the tokens held out; made once, and found again afterwards.

    Args:
        sources: files and folders of documents.
        folder: of the model; the tokenizer lies in it, the tokens in its folder ``data``.
        tokenizer: names the kind of vocabulary.
        write_tokenizer: makes the tokenizer's files from the pieces that are trained on.
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
        "tokenizer": tokenizer,
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
        if not any(piece.start != piece.stop for piece in training):
            raise GroundupError(f"the {len(documents)} documents are empty: give it some text")
        progress("vocabulary", 0, 1)
        write_tokenizer(training, folder)
        progress("vocabulary", 1, 1)
        for name, pieces in (("validation", validation), ("training", training)):
            write_token_shards(
                pieces,
                folder,
                data / name,
                workers=workers,
                progress=lambda done, total, name=name: progress(f"{name} tokens", done, total),  # type: ignore[misc]
            )
        write_text(index, json.dumps(corpus, indent=2))
    return TokenShards(data / "training"), TokenShards(data / "validation")
