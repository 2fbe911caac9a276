"""Byte-pair training: which pairs of symbols are joined, in which order.

Source: Sennrich, Haddow and Birch 2016, "Neural Machine Translation of Rare Words with Subword
Units", section 3.2 and algorithm 1; the order of equal counts is that of Hugging Face's
`tokenizers`.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from heapq import heapify, heappop, heappush
from itertools import pairwise

__all__ = ["Merge", "train_byte_pairs"]

Merge = tuple[int, int, int]  # left symbol, right symbol, the symbol that they become


def train_byte_pairs(
    words: Iterable[tuple[Sequence[int], int]], alphabet: int, size: int, least: int = 1
) -> list[Merge]:
    """Join the most frequent pair of neighbours to a new symbol, again and again.

    Arguments:
        words: (symbols, count) of each different word; symbols are 0 to ``alphabet - 1``, and pairs
            do not reach over a word's end. Not changed.
        alphabet: how many symbols there are at first.
        size: stop when there are so many symbols.
        least: stop when the most frequent pair is found less often.

    A pair's count is the sum of the counts of the words, once for each place where it stands; in
    ``a a a`` it stands at two places, and only the first is joined. Of pairs with equal counts the
    one with the smaller left symbol, then the smaller right one, comes first.

    Returns: the merges in order; merge i makes the symbol ``alphabet + i``.
    Time: a merge looks only at the words in which its pair stands.
    Example: for ``aab`` twice and ``ab`` once, with a = 0 and b = 1, of size 4:
    ``train_byte_pairs([([0, 0, 1], 2), ([0, 1], 1)], 2, 4) == [(0, 1, 2), (0, 2, 3)]``.
    """
    texts, counts = [], []
    pair_counts: Counter[tuple[int, int]] = Counter()
    found_in: defaultdict[tuple[int, int], set[int]] = defaultdict(set)  # words yet to be joined
    for index, (symbols, count) in enumerate(words):
        texts.append(list(symbols))
        counts.append(count)
        for pair in pairwise(symbols):
            pair_counts[pair] += count
            found_in[pair].add(index)
    queue = [(-count, *pair) for pair, count in pair_counts.items()]
    heapify(queue)
    merges: list[Merge] = []
    while queue and alphabet + len(merges) < size:
        negative, left, right = heappop(queue)
        pair = (left, right)
        if not found_in[pair]:
            continue  # an older entry of a pair that was joined since
        if pair_counts[pair] != -negative:
            heappush(queue, (-pair_counts[pair], left, right))
            continue
        if pair_counts[pair] < max(least, 1):
            break
        joined = alphabet + len(merges)
        merges.append((left, right, joined))
        created: set[tuple[int, int]] = set()
        for index in found_in.pop(pair):
            for old, new in _join(texts[index], left, right, joined):
                pair_counts[old] -= counts[index]
                pair_counts[new] += counts[index]
                found_in[new].add(index)
                created.add(new)
        for new in created:
            if pair_counts[new] > 0:
                heappush(queue, (-pair_counts[new], *new))
    return merges


def _join(
    text: list[int], left: int, right: int, joined: int
) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """Join a pair everywhere in a word, in place; each neighbour's pair before, and after."""
    i = 0
    while i < len(text) - 1:
        if text[i] == left and text[i + 1] == right:
            text[i : i + 2] = [joined]
            if i > 0:
                yield (text[i - 1], left), (text[i - 1], joined)
            if i + 1 < len(text):
                yield (right, text[i + 1]), (joined, text[i + 1])
        i += 1
