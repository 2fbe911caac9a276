"""WordPiece: a word becomes the longest tokens that fit, from its beginning on.

Sources: Wu et al. 2016, "Google's Neural Machine Translation System", section 4.1; Devlin et al.
2018, "BERT", section 3; Song et al. 2020, "Fast WordPiece Tokenization", section 3 (the algorithm
that they make faster).
"""

from collections.abc import Mapping

__all__ = ["longest_match"]


def longest_match(
    word: str,
    vocabulary: Mapping[str, int],
    *,
    unknown_id: int,
    prefix: str = "##",
    longest_word: int = 100,
) -> list[tuple[int, int, int]]:
    """The tokens of one word.

    From each place the longest token that fits is taken, and the next place is where it ends.
    Behind the word's beginning only tokens that start with ``prefix`` fit, and the prefix stands
    for no character of the word.

    Arguments:
        word: any characters, at least one.
        vocabulary: ``{token: id}``.
        unknown_id: the one token of a word in which at some place nothing fits, whatever was found
            before that place, and of a word of more than ``longest_word`` characters.
        prefix: what marks a token inside a word.
        longest_word: a limit on the time that a word takes, which grows with its length squared.

    Returns: (id, start, end) of each token, in characters of the word; ``(unknown_id, 0,
    len(word))`` alone where the word is unknown.
    Example: with ``{"un": 0, "##aff": 1, "##able": 2, "##a": 3}``, ``"unaffable"`` is
    ``[(0, 0, 2), (1, 2, 5), (2, 5, 9)]``, and ``"unaffordable"`` is ``[(unknown_id, 0, 12)]``.
    """
    unknown = [(unknown_id, 0, len(word))]
    if len(word) > longest_word:
        return unknown
    tokens: list[tuple[int, int, int]] = []
    start = 0
    while start < len(word):
        mark = prefix if start else ""
        for end in range(len(word), start, -1):
            token_id = vocabulary.get(mark + word[start:end])
            if token_id is not None:
                tokens.append((token_id, start, end))
                start = end
                break
        else:
            return unknown
    return tokens
