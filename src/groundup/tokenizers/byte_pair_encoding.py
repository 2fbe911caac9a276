"""Byte-level byte-pair encoding: from the bytes of one word to token ids.

Sources: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword
Units", algorithm 1; Radford et al. 2019, "Language Models are Unsupervised Multitask Learners",
section 2.2 (bytes in place of characters).
"""

from heapq import heapify, heappop, heappush
from itertools import pairwise

from groundup.errors import GroundupError

__all__ = ["byte_alphabet", "byte_pair_encode", "merge_ranks"]


def byte_alphabet() -> dict[int, str]:
    """GPT-2's printable character for each of the 256 bytes.

    Vocabulary files are text, and many bytes have no visible character, so every byte gets a
    stand-in. A byte whose Latin-1 character is visible (printable, and not a space) stands for
    itself. The others, in rising order, become U+0100, U+0101, ...

    Returns: ``{byte: character}``, 256 different characters, keys in rising order.
    Example: ``byte_alphabet()[0x41] == "A"``, ``byte_alphabet()[0x20] == "Ġ"`` (U+0120).
    """
    alphabet: dict[int, str] = {}
    hidden = 0
    for byte in range(256):
        if chr(byte).isprintable() and chr(byte) != " ":
            alphabet[byte] = chr(byte)
        else:
            alphabet[byte] = chr(256 + hidden)
            hidden += 1
    return alphabet


def merge_ranks(
    vocabulary: dict[str, int], merges: list[tuple[str, str]]
) -> dict[tuple[int, int], tuple[int, int]]:
    """The merges in the form that :func:`byte_pair_encode` looks up, in ids in place of strings.

    Arguments:
        vocabulary: ``{token: id}``.
        merges: the learned merges, the first learned first. ``("a", "b")`` joins ``"a"`` and
            ``"b"`` to the token ``"ab"``. Of a pair that occurs twice, the last counts.

    Returns: ``{(left id, right id): (rank, id of the joined token)}``; rank is the index in
    ``merges``, and a lower rank is applied first.
    Raises: GroundupError where a merge needs a token that the vocabulary lacks.
    Example: ``merge_ranks({"a": 0, "b": 1, "ab": 2}, [("a", "b")]) == {(0, 1): (0, 2)}``.
    """
    try:
        return {
            (vocabulary[left], vocabulary[right]): (rank, vocabulary[left + right])
            for rank, (left, right) in enumerate(merges)
        }
    except KeyError as missing:
        raise GroundupError(
            f"the merges use the token {missing}, which the vocabulary of {len(vocabulary)} tokens "
            "lacks; take vocabulary and merges from the same tokenizer"
        ) from None


def byte_pair_encode(
    symbols: list[int], ranks: dict[tuple[int, int], tuple[int, int]]
) -> list[int]:
    """Join neighbouring symbols until no merge applies any more.

    Each step looks at all pairs of neighbours, takes the pair of the lowest rank (the leftmost
    of several), and puts the joined symbol in its place.

    Arguments:
        symbols: the ids of one word's bytes, in order; any length, 0 included. Not changed.
        ranks: ``{(left id, right id): (rank, joined id)}``, each pair with a rank of its own.

    Returns: the ids that remain, in order.
    Time: O(n log n) for n symbols. A heap holds the pairs that can be merged, and a linked list
    tells each symbol's neighbours, so a step costs a heap operation, not a walk over the word.
    Example: with a=0, b=1, ab=2, aab=3 and ``ranks = {(0, 1): (0, 2), (0, 2): (1, 3)}``,
    ``byte_pair_encode([0, 0, 1, 0], ranks) == [3, 0]``: a a b a, a ab a, aab a.
    """
    ids = list(symbols)
    end = len(ids)
    before = list(range(-1, end - 1))
    after = list(range(1, end + 1))
    heap = [(ranks[pair][0], left) for left, pair in enumerate(pairwise(ids)) if pair in ranks]
    heapify(heap)
    while heap:
        rank, left = heappop(heap)
        right = after[left]
        if right == end:
            continue
        merge = ranks.get((ids[left], ids[right]))
        # An earlier merge may have changed or consumed this pair; its entry stayed in the heap.
        if merge is None or merge[0] != rank:
            continue
        ids[left] = merge[1]
        ids[right] = -1  # consumed: no pair holds the id -1
        after[left] = after[right]
        if after[left] != end:
            before[after[left]] = left
        for start in (before[left], left):
            if start >= 0 and after[start] != end:
                created = ranks.get((ids[start], ids[after[start]]))
                if created is not None:
                    heappush(heap, (created[0], start))
    return [symbol for symbol in ids if symbol != -1]
