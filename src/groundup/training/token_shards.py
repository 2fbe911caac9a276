"""Tokens of a corpus in files that are mapped into memory, not read."""

import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.corpus import Piece, cut, read_piece

__all__ = ["TokenShards", "write_token_shards"]

INDEX = "index.json"
DTYPES = ("uint16", "uint32")


class TokenShards:
    """The tokens of a folder's shards, one after another.

    ``dtype`` is uint16 where the vocabulary fits in it, else uint32. `len` is the number of tokens.
    """

    def __init__(self, folder: Path) -> None:
        """Map the files of a folder that `write_token_shards` wrote.

        Raises:
            GroundupError: a file is missing, is damaged, or holds another dtype or number of tokens
                than the index says.
        """
        path = folder / INDEX
        try:
            index = json.loads(path.read_text("utf-8"))
            self.dtype, files = np.dtype(index["dtype"]), index["shards"]
        except FileNotFoundError:
            raise GroundupError(f"{folder} holds no token shards: it has no {INDEX}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise GroundupError(f"{path} is damaged ({error}): delete {folder}") from None
        self.shards = [self._map(folder / name, tokens) for name, tokens in files.items()]
        self.ends = np.cumsum([len(shard) for shard in self.shards], dtype=np.int64)

    def _map(self, path: Path, tokens: int) -> NDArray[np.unsignedinteger]:
        try:
            shard: NDArray[np.unsignedinteger] = np.load(path, mmap_mode="r", allow_pickle=False)
        except FileNotFoundError:
            raise GroundupError(f"the token shard {path} is missing: delete its folder") from None
        except (ValueError, EOFError) as error:
            raise GroundupError(f"{path} is not a whole NumPy file ({error}): delete its folder, "
                                "and it is made again") from None  # fmt: skip
        if shard.dtype != self.dtype or shard.shape != (tokens,):
            raise GroundupError(
                f"{path} holds {shard.dtype} of shape {shard.shape}, and its index says "
                f"{self.dtype} of shape ({tokens},): delete its folder, and it is made again"
            )
        return shard

    def __len__(self) -> int:
        return int(self.ends[-1]) if len(self.ends) else 0

    def read(self, start: int, count: int) -> NDArray[np.int64]:
        """The tokens from ``start`` on, also across shards; IndexError where there are not enough.

        Returns shape (count,), int64.
        """
        if not 0 <= start <= len(self) - count:
            raise IndexError(f"tokens {start} to {start + count} of {len(self)}")
        found = np.empty(count, np.int64)
        filled = 0
        shard = int(np.searchsorted(self.ends, start, side="right"))
        while filled < count:
            begin = start + filled - (int(self.ends[shard - 1]) if shard else 0)
            part = self.shards[shard][begin : begin + count - filled]
            found[filled : filled + len(part)] = part
            filled += len(part)
            shard += 1
        return found


def write_token_shards(
    pieces: Sequence[Piece],
    tokenizer_folder: Path,
    folder: Path,
    *,
    workers: int,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> TokenShards:
    """Encode pieces of documents into a folder of shards, which is there whole or not at all.

    An end-of-text token follows each document, where the tokenizer has one. The shards are the same
    for every number of workers.

    Args:
        pieces: what is encoded, in this order.
        tokenizer_folder: holds the tokenizer; each process loads it.
        folder: made anew.
        workers: processes; one encodes in this process.
        progress: is told how many shards are done, of how many.

    Raises:
        GroundupError: a document cannot be read, or the folder cannot be written: the disk is full.
    """
    groups = list(cut(pieces))
    temporary = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(temporary, ignore_errors=True)
    try:
        temporary.mkdir(parents=True)
        jobs = [(group, temporary / f"{i:05}.npy") for i, group in enumerate(groups)]
        if workers == 1 or len(jobs) < 2:
            _load(tokenizer_folder)
            counts = []
            for group, path in jobs:
                counts.append(_encode(group, path))
                progress(len(counts), len(jobs))
        else:
            counts = _encode_in_parallel(jobs, tokenizer_folder, min(workers, len(jobs)), progress)
        dtype = _dtype(tokenizer_from_folder(tokenizer_folder)).name
        shards = {path.name: n for (_, path), n in zip(jobs, counts, strict=True)}
        write_text(temporary / INDEX, json.dumps({"dtype": dtype, "shards": shards}, indent=2))
        shutil.rmtree(folder, ignore_errors=True)
        temporary.replace(folder)
    except OSError as error:
        raise GroundupError(f"cannot write the tokens to {folder}: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
    return TokenShards(folder)


def _encode_in_parallel(
    jobs: list[tuple[list[Piece], Path]],
    tokenizer_folder: Path,
    workers: int,
    progress: Callable[[int, int], None],
) -> list[int]:
    # Started anew, not forked: torch's threads may run in this process.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context, _load, (tokenizer_folder,)) as pool:
        futures: list[Future[int]] = [pool.submit(_encode, *job) for job in jobs]
        try:
            for done, future in enumerate(as_completed(futures), start=1):
                future.result()
                progress(done, len(futures))
        except BaseException:  # also Ctrl-C: what has not begun is not begun
            pool.shutdown(wait=True, cancel_futures=True)
            raise
        return [future.result() for future in futures]


_tokenizer: Tokenizer | None = None  # of this process


def _load(folder: Path) -> None:
    global _tokenizer
    _tokenizer = tokenizer_from_folder(folder)


def _dtype(tokenizer: Tokenizer) -> "np.dtype[np.unsignedinteger]":
    return np.dtype(DTYPES[tokenizer.size > 2**16])


def _encode(pieces: Sequence[Piece], path: Path) -> int:
    """Write the tokens of some pieces to a file; returns their number."""
    assert _tokenizer is not None
    ends = sorted(_tokenizer.eos_ids)[:1]
    ids: list[int] = []
    for piece in pieces:
        found = _tokenizer.encode(read_piece(piece), special=False)
        ids += found
        if piece.last and found:
            ids += ends
    with path.open("wb") as file:
        np.save(file, np.array(ids, _dtype(_tokenizer)), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())
    return len(ids)
