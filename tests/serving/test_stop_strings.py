"""Stop strings against a plain search in the whole text."""

from hypothesis import given
from hypothesis import strategies as st

from groundup.serving.stop_strings import StopStrings

few_letters = st.text("ab", min_size=1, max_size=6)


def plainly(text: str, stops: list[str]) -> tuple[str, bool]:
    """Cut at the match that ends first; of those that end together, the longest."""
    for end in range(1, len(text) + 1):
        matching = [stop for stop in stops if text[:end].endswith(stop)]
        if matching:
            return text[: end - max(map(len, matching))], True
    return text, False


def held_at_most(shown: str, text: str, stops: list[str]) -> int:
    """The longest end of the text that a stop string begins with."""
    return max(
        (n for n in range(len(text) + 1) for stop in stops if text.endswith(stop[:n]) if n),
        default=0,
    )


@given(st.lists(st.text("ab", max_size=5), max_size=8), st.lists(few_letters, max_size=4))
def test_any_pieces_give_what_the_whole_text_gives(pieces: list[str], stops: list[str]) -> None:
    stream = StopStrings(stops)
    shown = ""
    for i, piece in enumerate(pieces):
        shown += stream.push(piece)
        text = "".join(pieces[: i + 1])
        if not stream.found:  # no more is held back than must be
            assert len(text) - len(shown) == held_at_most(shown, text, stops)
    shown += stream.finish()
    assert (shown, stream.found) == plainly("".join(pieces), stops)


def test_nothing_is_shown_after_the_end() -> None:
    stream = StopStrings(["END"])
    assert [stream.push(piece) for piece in ("a E", "N", "Db", "c")] == ["a ", "", "", ""]
    assert stream.found
    assert stream.finish() == ""
