"""A text on its way to tokens: its code points, where its pieces lie, and where they come from."""

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

__all__ = ["Pieces"]


class Pieces(NamedTuple):
    """Ranges of a text's code points.

    ``origins`` is None while the text is the one that was given. Else it has, for each code point,
    where in the given text what became it starts and ends.
    """

    codes: NDArray[np.uint32]  # (n,)
    starts: NDArray[np.int64]  # (pieces,)
    ends: NDArray[np.int64]  # (pieces,)
    origins: NDArray[np.int64] | None = None  # (n, 2)

    @classmethod
    def of(cls, text: str, origins: NDArray[np.int64] | None = None) -> Self:
        """The whole text as one piece; none where it is empty."""
        codes = np.frombuffer(text.encode("utf-32-le"), np.uint32)
        some = int(len(codes) > 0)
        return cls(codes, np.zeros(some, np.int64), np.full(some, len(codes), np.int64), origins)

    def strings(self) -> list[str]:
        """The text of each piece."""
        text = self.codes.tobytes().decode("utf-32-le")
        spans = zip(self.starts.tolist(), self.ends.tolist(), strict=True)
        return [text[start:end] for start, end in spans]

    def with_prefix(self, code: int) -> "Pieces":
        """Each piece that does not begin with a character gets it, as part of its first one's."""
        lacking = self.codes[self.starts] != code
        places = self.starts[lacking]
        before = np.cumsum(lacking) - lacking  # how many were inserted before each piece
        origins = self.origins
        if origins is None:
            origins = np.arange(len(self.codes))[:, None] + np.arange(2)
        return Pieces(
            np.insert(self.codes, places, code),
            self.starts + before,
            self.ends + before + lacking,
            np.insert(origins, places, origins[places], axis=0),
        )
