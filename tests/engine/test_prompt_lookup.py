"""Drafts from the text itself, against the definition tried out place by place."""

import random

import pytest

from groundup.engine.prompt_lookup import PromptLookup


def plainly(tokens: list[int], most: int, shortest: int, longest: int) -> list[int]:
    """The longest suffix that occurred before, then its latest place, then what followed."""
    for n in range(min(longest, len(tokens) - 1), shortest - 1, -1):
        for end in range(len(tokens) - 1, n - 1, -1):
            if tokens[end - n : end] == tokens[-n:]:
                text = list(tokens)
                while len(text) < len(tokens) + most:
                    text.append(text[end + len(text) - len(tokens)])
                return text[len(tokens) :]
    return []


@pytest.mark.parametrize(("shortest", "longest"), [(1, 1), (1, 4), (2, 3), (3, 16)])
def test_drafts_are_those_of_the_definition(shortest: int, longest: int) -> None:
    drawn = random.Random(0)
    found = lengths = 0
    for _ in range(60):
        lookup = PromptLookup(shortest=shortest, longest=longest)
        tokens: list[int] = []
        while len(tokens) < 70:
            if drawn.random() < 0.2 and len(tokens) > 5:  # a quotation
                start = drawn.randrange(len(tokens) - 1)
                tokens += tokens[start : start + drawn.randrange(1, 20)]
            tokens += [drawn.randrange(4) for _ in range(drawn.randrange(1, 4))]
            most = drawn.randrange(7)
            before = list(tokens)
            draft = lookup.draft(tokens, most)
            assert draft == plainly(tokens, most, shortest, longest)
            assert tokens == before
            found += bool(draft)
            lengths += len(draft)
    assert found > 100
    assert lengths > 2 * found


def test_a_text_that_repeats_itself_goes_on_in_a_circle() -> None:
    assert PromptLookup().draft([7, 8, 1, 2, 1, 2, 1, 2], 5) == [1, 2, 1, 2, 1]
    assert PromptLookup().draft([5] * 4, 3) == [5, 5, 5]


def test_short_texts_have_no_draft() -> None:
    for tokens in ([], [1], [1, 1], [1, 1, 1]):
        assert PromptLookup().draft(tokens, 4) == []


def test_lengths_of_matches_are_looked_at() -> None:
    for shortest, longest in ((0, 4), (3, 2)):
        with pytest.raises(ValueError, match="shortest"):
            PromptLookup(shortest=shortest, longest=longest)
