"""Text from a stream of token ids, while a token may end in the middle of a character."""

import codecs
from collections.abc import Callable

__all__ = ["StreamDecoder"]


class StreamDecoder:
    """Turns ids into text one at a time.

    The pieces of ``push`` and the rest of ``finish``, joined, are what decoding all ids at once
    gives; bytes that can never become a character are U+FFFD in both.
    """

    def __init__(self, bytes_of: Callable[[int], bytes]) -> None:
        """``bytes_of``: the UTF-8 bytes of one id; parts of characters are expected."""
        self._bytes_of = bytes_of
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")

    def push(self, token_id: int) -> str:
        """The text that this id completes; empty while a character is still unfinished."""
        return self._decoder.decode(self._bytes_of(token_id))

    def finish(self) -> str:
        """The rest: empty, or U+FFFD for a character that was never finished."""
        return self._decoder.decode(b"", final=True)
