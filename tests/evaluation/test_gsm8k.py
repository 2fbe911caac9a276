"""Answers read out of texts, by hand-made cases, and how problems are asked."""

import json
from pathlib import Path

import pytest

from groundup.errors import GroundupError
from groundup.evaluation.gsm8k import flexible_answer, gsm8k, same_number, strict_answer

PROBLEMS = [
    ("Two and two?", "2 + 2 = <<2+2=4>>4\n#### 4"),
    ("A thousand?", "It is 1,000.\n#### 1,000"),
    ("Minus?", "#### -3"),
]


@pytest.fixture(name="path")
def path_fixture(tmp_path: Path) -> Path:
    path = tmp_path / "test.jsonl"
    path.write_text("".join(json.dumps({"question": q, "answer": a}) + "\n" for q, a in PROBLEMS))
    return path


@pytest.mark.parametrize(
    ("text", "strict", "flexible"),
    [
        ("2 + 2 = 4\n#### 4", "4", "4"),
        ("####42", "42", "42"),
        ("#### $1,234.50.", "$1,234.50", "$1,234.50"),
        ("#### -7 apples, not 8", "-7", "8"),
        ("#### 1\nQuestion: next?\n#### 2", "1", "2"),
        ("The answer is 18.", None, "18"),
        ("It costs $.5, I think.", None, "$.5"),
        ("no number at all", None, None),
        ("", None, None),
        ("####", None, None),
        ("#### four", None, None),
        ("3, 4, and 5.", None, "5"),
        ("10-3 = 7", None, "7"),
        ("1. First, 2. second", None, "2"),
    ],
)
def test_extraction(text: str, strict: str | None, flexible: str | None) -> None:
    assert (strict_answer(text), flexible_answer(text)) == (strict, flexible)


@pytest.mark.parametrize(
    ("found", "expected", "same"),
    [
        ("18", "18", True),
        ("18.00", "18", True),
        ("$1,000", "1000", True),
        ("-$5", "-5", True),
        ("018", "18", True),
        ("1.8", "18", False),
        ("-18", "18", False),
        ("1,8", "18", True),  # commas are those of thousands, wherever they stand
        (None, "18", False),
        ("", "0", False),
    ],
)
def test_numbers(found: str | None, expected: str, same: bool) -> None:
    assert same_number(found, expected) is same


@pytest.mark.parametrize(
    ("answer", "strict", "flexible"),
    [("So it is 4.\n#### 4", 1, 1), ("It is 4", 0, 1), ("", 0, 0), ("#### 5, or 4", 0, 1)],
)
def test_judge(path: Path, answer: str, strict: int, flexible: int) -> None:
    task = gsm8k(path)
    verdict = task.judge(task.questions[0], answer, True)
    assert verdict.scores == {"strict": strict, "flexible": flexible}


def test_shots_are_shown_and_not_asked(path: Path) -> None:
    task = gsm8k(path, shots=1)
    assert [q.id for q in task.questions] == ["2", "3"]
    shown, worked, asked = task.questions[0].messages
    assert (shown["role"], worked["role"], asked["role"]) == ("user", "assistant", "user")
    assert shown["content"].endswith("Two and two?")
    assert worked["content"] == "2 + 2 = 4\n#### 4"  # without the calculator's mark
    assert asked["content"].endswith("A thousand?")
    assert task.questions[0].text == (
        "Question: Two and two?\nAnswer: 2 + 2 = 4\n#### 4\n\nQuestion: A thousand?\nAnswer:"
    )
    assert [q.expected for q in task.questions] == [("1,000",), ("-3",)]
    assert len(gsm8k(path, limit=2).questions) == 2


def test_another_wording_is_another_task(path: Path) -> None:
    tasks = [gsm8k(path), gsm8k(path, shots=1), gsm8k(path, limit=2), gsm8k(path, max_tokens=7)]
    assert len({json.dumps(task.settings, sort_keys=True) for task in tasks}) == 4


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"question": "a"}, "row 1: expected a question and a worked answer"),
        ({"question": "a", "answer": 4}, "row 1: expected a question and a worked answer"),
        ({"question": "a", "answer": "it is 4"}, "without '#### number'"),
        ([1], "expected a question"),
    ],
)
def test_a_wrong_row_is_named(row: object, message: str, tmp_path: Path) -> None:
    path = tmp_path / "p.jsonl"
    path.write_text(json.dumps(row))
    with pytest.raises(GroundupError, match=message):
        gsm8k(path)


def test_all_shots_leave_no_question(path: Path) -> None:
    with pytest.raises(GroundupError, match="has no questions: raise --limit or lower --shots"):
        gsm8k(path, shots=3)


def test_the_whole_test_set_is_read() -> None:
    whole = Path(__file__).parents[3] / "shared" / "data" / "gsm8k_test.jsonl"
    if not whole.is_file():
        pytest.skip("GSM8K's test set is not beside the project")
    questions = gsm8k(whole).questions
    assert len(questions) == 1319
    assert questions[0].expected == ("18",)
