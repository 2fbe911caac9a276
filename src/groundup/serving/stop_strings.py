"""Ends a text at the first of some strings, while the text arrives in pieces."""

from collections.abc import Sequence

__all__ = ["StopStrings"]


class StopStrings:
    """Lets text through that can no longer be part of a stop string.

    One Knuth-Morris-Pratt automaton for each string: its state is how much of the string the text
    ends with, so the longest state is how much must be held back. A character costs a constant
    number of steps on average, whatever the pieces are and however the strings repeat themselves.

    The string that is complete first ends the text; of several that end at the same character, the
    longest does.

    Source: Knuth, Morris and Pratt 1977, "Fast pattern matching in strings".
    """

    def __init__(self, stops: Sequence[str]) -> None:
        """``stops``: none of them empty."""
        self.found = False
        self._stops = [(stop, failure(stop)) for stop in stops]
        self._matched = [0] * len(stops)
        self._held = ""

    def push(self, text: str) -> str:
        """What of the text so far may be shown now; nothing any more once one was found."""
        if not self._stops:
            return text
        if self.found:
            return ""
        text = self._held + text
        for position in range(len(self._held), len(text)):
            character = text[position]
            complete = 0
            for i, (stop, shorter) in enumerate(self._stops):
                matched = self._matched[i]
                while matched and stop[matched] != character:
                    matched = shorter[matched]
                matched += stop[matched] == character
                self._matched[i] = matched
                if matched == len(stop):
                    complete = max(complete, matched)
            if complete:
                self.found = True
                self._held = ""
                return text[: position + 1 - complete]
        shown = len(text) - max(self._matched)
        self._held = text[shown:]
        return text[:shown]

    def finish(self) -> str:
        """What was held back, when the text has ended without a stop string."""
        held, self._held = self._held, ""
        return held


def failure(pattern: str) -> list[int]:
    """For each length, that of the longest proper prefix which the prefix of it ends with."""
    table = [0] * (len(pattern) + 1)
    matched = 0
    for length in range(2, len(pattern) + 1):
        while matched and pattern[matched] != pattern[length - 1]:
            matched = table[matched]
        matched += pattern[matched] == pattern[length - 1]
        table[length] = matched
    return table
