"""Attention over keys that lie in scattered blocks, on a GPU: one Triton kernel for all batches.

A *tile* is some consecutive tokens of one sequence. A program has one tile and one key head: its
queries are that head's group of query heads for each of the tokens, so a key is read once for all
of them. It goes along the keys with a running maximum and sum (online softmax). Where there are few
tiles and long sequences, as in generation, several programs share a tile's keys, and a second
kernel joins what each of them found.

Sources: Kwon et al. 2023, "PagedAttention", section 4.1 (blocks); Dao et al. 2022,
"FlashAttention", algorithm 1 (online softmax); Dao et al. 2023, "Flash-Decoding for long-context
inference" (sharing the keys).
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

__all__ = ["paged_attention", "splits_to_fill"]

KEYS = 64  # that a program holds at a time
MOST_SPLITS = 32
LEAST = 16  # what a side of a product of matrices must at least have on a GPU


def paged_attention(
    q: Tensor, keys: Tensor, values: Tensor, tables: Tensor, sequence_of: Tensor,
    positions: Tensor, starts: Tensor, *, most_rows: int, splits: int = 1,
) -> Tensor:  # fmt: skip
    """Attend from each row of a batch to its sequence's keys, up to and with its own position.

    Args:
        q: (N, H, D), not yet divided by the root of D.
        keys, values: (blocks, H_kv, block size, D), in the dtype of q.
        tables: (sequences, most blocks), int32: the numbers of each sequence's blocks, in order.
        sequence_of: (N,), int32: the table that a row belongs to.
        positions: (N,), int32: the row's place in its sequence.
        starts: (tiles + 1,), int32: rows ``starts[t]`` to ``starts[t + 1] - 1`` are tile t.
        most_rows: the most rows of one tile.
        splits: how many programs share a tile's keys, a power of two. More than one is for
            batches too small to fill the device.

    Every tensor is contiguous and on one device.

    Returns:
        (N, H * D), in the dtype of q.

    Raises:
        ValueError: the shapes do not fit, or splits is not a power of two.
    """
    N, H, D = q.shape
    H_kv, block_size = keys.shape[1:3]
    if keys.shape != values.shape or keys.shape[3] != D or H % H_kv:
        got = f"q {tuple(q.shape)}, keys {tuple(keys.shape)} and values {tuple(values.shape)}"
        raise ValueError(
            f"{got} do not fit: expected (N, H, D) and twice (blocks, H_kv, block size, D), "
            "with H a multiple of H_kv"
        )
    if splits < 1 or splits & splits - 1:
        raise ValueError(f"splits must be a power of two, got {splits}")
    out = torch.empty((N, H * D), dtype=q.dtype, device=q.device)
    parts = out
    logs = None
    if splits > 1:
        parts = torch.empty((N, H, splits, D), dtype=torch.float32, device=q.device)
        logs = torch.empty((N, H, splits), dtype=torch.float32, device=q.device)
    G = H // H_kv
    wide = max(LEAST, triton.next_power_of_2(D))
    attend[(len(starts) - 1, H_kv, splits)](
        q, keys, values, tables, sequence_of, positions, starts, parts, logs, D**-0.5,
        tables.shape[1], H_kv, G, D, block_size,
        max(LEAST, triton.next_power_of_2(most_rows * G)), wide, KEYS, splits,
    )  # fmt: skip
    if splits > 1:
        join[(N * H,)](parts, logs, out, D, wide, splits)
    return out


def splits_to_fill(programs: int, processors: int) -> int:
    """In how many splits a device gets two programs a processor, where one split has so many."""
    splits = 1
    while splits < MOST_SPLITS and splits * programs < 2 * processors:
        splits *= 2
    return splits


@triton.jit(do_not_specialize=["TABLE"])
def attend(
    q, keys, values, tables, sequence_of, positions, starts, parts, logs, scale, TABLE,
    H_KV: tl.constexpr, G: tl.constexpr, D: tl.constexpr,
    BLOCK_SIZE: tl.constexpr, QUERIES: tl.constexpr, WIDE: tl.constexpr, KEYS: tl.constexpr,
    SPLITS: tl.constexpr,
):  # fmt: skip
    """One tile, one key head, one share of the keys.

    ``TABLE`` is the length of a table, ``QUERIES`` and ``WIDE`` the tokens times G and D, rounded
    up to powers of two. What is found goes to ``parts``: the output itself (N, H, D), or for each
    split its mean of values (N, H, splits, D), and to ``logs`` (N, H, splits) the logarithm of the
    sum of exponentials that it stands for.
    """
    tile, kv_head, split = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    first = tl.load(starts + tile)
    rows = tl.load(starts + tile + 1) - first
    position = tl.load(positions + first)
    table = tables + tl.load(sequence_of + first) * TABLE

    query = tl.arange(0, QUERIES)
    token = query // G
    d = tl.arange(0, WIDE)
    at = (first + token) * (H_KV * G) + kv_head * G + query % G  # among all N * H queries
    real = token < rows
    inside = real[:, None] & (d < D)[None, :]
    queries = tl.load(q + at[:, None] * D + d[None, :], mask=inside, other=0)  # (QUERIES, WIDE)

    length = position + rows
    share = tl.cdiv(tl.cdiv(length, KEYS), SPLITS) * KEYS
    start = split * share
    stop = tl.minimum(start + share, length)

    highest = tl.full((QUERIES,), float("-inf"), tl.float32)
    mass = tl.zeros((QUERIES,), tl.float32)
    sums = tl.zeros((QUERIES, WIDE), tl.float32)
    for begin in range(start, stop, KEYS):
        j = begin + tl.arange(0, KEYS)
        held = j < stop
        block = tl.load(table + j // BLOCK_SIZE, mask=held, other=0).to(tl.int64)
        slot = ((block * H_KV + kv_head) * BLOCK_SIZE + j % BLOCK_SIZE) * D
        here = held[:, None] & (d < D)[None, :]
        k = tl.load(keys + slot[:, None] + d[None, :], mask=here, other=0)  # (KEYS, WIDE)
        scores = tl.dot(queries, tl.trans(k), input_precision="ieee") * scale
        seen = held[None, :] & (j[None, :] <= position + token[:, None])
        scores = tl.where(seen, scores, float("-inf"))  # (QUERIES, KEYS)
        higher = tl.maximum(highest, tl.max(scores, 1))
        # A query that has seen no key yet would subtract infinity from infinity.
        base = tl.where(higher == float("-inf"), 0.0, higher)
        weights = tl.exp(scores - base[:, None])
        shrink = tl.exp(highest - base)
        v = tl.load(values + slot[:, None] + d[None, :], mask=here, other=0)
        sums = sums * shrink[:, None]
        sums += tl.dot(weights.to(v.dtype), v, input_precision="ieee")
        mass = mass * shrink + tl.sum(weights, 1)
        highest = higher

    mass = tl.where(mass > 0, mass, 1.0)  # no key in this share: a mean of zeros, of no weight
    mean = sums / mass[:, None]
    place = at * SPLITS + split
    tl.store(parts + place[:, None] * D + d[None, :], mean.to(parts.dtype.element_ty), mask=inside)
    if SPLITS > 1:
        tl.store(logs + place, highest + tl.log(mass), mask=real)


@triton.jit
def join(parts, logs, out, D: tl.constexpr, WIDE: tl.constexpr, SPLITS: tl.constexpr):
    """The mean of one query's means, each weighted by the exponentials that it stands for."""
    query = tl.program_id(0)
    split, d = tl.arange(0, SPLITS), tl.arange(0, WIDE)
    log = tl.load(logs + query * SPLITS + split)
    weights = tl.exp(log - tl.max(log, 0))
    at = (query * SPLITS + split)[:, None] * D + d[None, :]
    means = tl.load(parts + at, mask=(d < D)[None, :], other=0)  # (SPLITS, WIDE)
    mean = tl.sum(means * weights[:, None], 0) / tl.sum(weights, 0)
    tl.store(out + query * D + d, mean.to(out.dtype.element_ty), mask=d < D)
