"""Prompt lookup: drafts copied from what followed the same tokens before, without a model."""

from collections.abc import Sequence

__all__ = ["PromptLookup"]


class PromptLookup:
    """Drafts for one text that grows, from its own earlier tokens.

    Where the text ends as it went on before, it may go on as it did then: a summary quotes, code
    repeats names, an edited text is the old one nearly everywhere. What the longest earlier match
    of the text's end was followed by is the draft; of several as long, the latest.

    Each token is entered once, under the tokens that end with it, with a link to the place where
    the same ones ended before. Finding a match walks these links, as LZ77's compressors do.

    Source: Saxena 2023, "Prompt lookup decoding"; Yang et al. 2023, "Inference with reference",
    section 3.
    """

    def __init__(self, *, shortest: int = 3, longest: int = 16) -> None:
        """Make one for a text of no tokens yet.

        Args:
            shortest: tokens of a match; where fewer are equal, nothing is drafted.
            longest: beyond so many, a match is as good as a longer one.

        Raises:
            ValueError: unless 1 <= shortest <= longest.
        """
        if not 1 <= shortest <= longest:
            raise ValueError(f"expected 1 <= shortest <= longest, got {shortest} and {longest}")
        self._shortest, self._longest = shortest, longest
        self._latest: dict[tuple[int, ...], int] = {}  # where these tokens ended last
        self._before: list[int] = []  # of each end, the one before it of the same tokens; or 0

    def draft(self, tokens: Sequence[int], most: int) -> list[int]:
        """What may come next.

        Args:
            tokens: the text, which begins with that of the call before; not changed.
            most: so many ids at most.

        Returns:
            Up to ``most`` ids. None where the end of the text did not occur before. A match that
            reaches into the end goes on in a circle.
        """
        n, size = self._shortest, len(tokens)
        for end in range(len(self._before), size):  # the whole text is no match of itself
            if end < n:
                self._before.append(0)
                continue
            key = tuple(tokens[end - n : end])
            self._before.append(self._latest.get(key, 0))
            self._latest[key] = end
        best, best_length = 0, n - 1
        place = self._latest.get(tuple(tokens[size - n :]), 0) if size > n else 0
        while place and best_length < self._longest:
            length = n
            while length < min(self._longest, place) and (
                tokens[place - length - 1] == tokens[size - length - 1]
            ):
                length += 1
            if length > best_length:
                best, best_length = place, length
            place = self._before[place]
        if not best:
            return []
        followed = tokens[best : min(best + most, size)]
        return [followed[i % len(followed)] for i in range(most)]
