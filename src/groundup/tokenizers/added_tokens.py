"""Added tokens: strings that are found in the text before anything else and become one id each."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import regex

__all__ = ["AddedToken", "AddedTokens"]

# str.strip would also take U+001C to U+001F, which are no white space in Unicode.
SPACE_BEFORE = regex.compile(r"(?r)\s*")
SPACE_AFTER = regex.compile(r"\s*")
# The word characters of Unicode Technical Standard 18, annex C.
WORD = regex.compile(r"[\p{Alphabetic}\p{M}\p{Nd}\p{Pc}\u200c\u200d]")


@dataclass(frozen=True)
class AddedToken:
    """One added token, with the flags of a Hugging Face tokenizer.json."""

    id: int
    text: str
    special: bool = False  # controls the model (ends a turn, ...) and stands for no text
    single_word: bool = False  # found only where no word character touches it
    lstrip: bool = False  # takes the white space on its left with it
    rstrip: bool = False  # ... and on its right
    normalized: bool = False  # looked for in the normalised text, unless it is special


class AddedTokens:
    """Finds added tokens in a text, leftmost first and of several at one place the longest."""

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        self._by_text = {token.text: token for token in tokens}
        longest_first = sorted(self._by_text, key=len, reverse=True)
        self._pattern = regex.compile("|".join(map(regex.escape, longest_first)))

    def split(self, text: str, *, special: bool) -> Iterator[tuple[int, int, int | None]]:
        """Start, end and id of each token found, and start, end and None of each text between.

        In order, without empty texts. ``special=False`` leaves the special tokens in the text.
        """
        if not self._by_text:
            if text:
                yield 0, len(text), None
            return
        done = 0
        for match in self._pattern.finditer(text):
            token = self._by_text[match[0]]
            start, stop = match.span()
            if token.special and not special:
                continue
            if token.single_word and (
                (start > 0 and WORD.match(text, start - 1)) or WORD.match(text, stop)
            ):
                continue
            if token.lstrip:
                start = SPACE_BEFORE.match(text, done, start).start()
            if token.rstrip:
                stop = SPACE_AFTER.match(text, stop).end()
            if done < start:
                yield done, start, None
            yield start, stop, token.id
            done = stop
        if done < len(text):
            yield done, len(text), None
