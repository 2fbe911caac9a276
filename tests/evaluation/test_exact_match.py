"""Short answers as SQuAD's script counts them."""

import pytest

from groundup.evaluation.exact_match import exact_match, normalize_answer, token_f1


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Cat!", "cat"),
        ("an apple a day", "apple day"),
        ("U.S.A.", "usa"),
        ("theatre", "theatre"),  # an article within a word stays
        ("half-time", "halftime"),
        ("  \t\n", ""),
        ("Ångström", "ångström"),
    ],
)
def test_normal_form(text: str, expected: str) -> None:
    assert normalize_answer(text) == expected


@pytest.mark.parametrize(
    ("answer", "expected", "right"),
    [
        ("The Eiffel Tower.", ["eiffel tower"], True),
        ("Eiffel", ["eiffel tower"], False),
        ("42", ["41", "42"], True),
        ("", ["the"], False),  # both are nothing once they are normal
        ("", ["!"], False),
        (" ", ["x"], False),
        ("", [""], True),
        ("The", ["the"], True),
        ("x", [], False),
    ],
)
def test_exact_match(answer: str, expected: list[str], right: bool) -> None:
    assert exact_match(answer, expected) is right


@pytest.mark.parametrize(
    ("answer", "expected", "f1"),
    [
        ("the cat sat", ["cat sat down"], 0.8),  # 2 of 2, 2 of 3
        ("cat cat cat", ["cat"], 0.5),  # a word counts as often as both have it
        ("a dog", ["cat", "brown dog"], 2 / 3),
        ("bird", ["cat"], 0.0),
        ("", ["cat"], 0.0),
        ("", ["the"], 0.0),
        ("", [""], 1.0),
        ("x", [], 0.0),
    ],
)
def test_f1(answer: str, expected: list[str], f1: float) -> None:
    assert token_f1(answer, expected) == pytest.approx(f1)
