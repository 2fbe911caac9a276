"""Every part has a lesson: its sections, its length, its mathematics, and numbers that hold."""

import doctest
import re

import pytest

from groundup.course.lesson import lesson, spelled_out
from groundup.course.parts.table import PARTS, Part
from groundup.course.stub import stub_of

SECTIONS = [
    "The idea",
    "How it works",
    "In production",
    "How it fails",
    "Cost",
    "What an interviewer asks",
    "Sources",
]
BLOCK = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
PARAMETERS = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def section(text: str, title: str) -> str:
    return text.partition(f"\n## {title}\n")[2].partition("\n## ")[0]


def given_away(text: str, source: str) -> list[str]:
    """Lines of a reference's bodies that stand in the text."""
    left = {line.strip() for line in stub_of(source).splitlines()}
    bodies = {line.strip() for line in source.splitlines()} - left
    return sorted(line for line in bodies if len(line) >= 20 and line in text)


def failures(text: str) -> str:
    """What the examples of a text print that is not what stands there."""
    examples = "\n".join(code for language, code in BLOCK.findall(text) if language == "python")
    test = doctest.DocTestParser().get_doctest(examples, {}, "lesson", None, 0)
    said: list[str] = []
    doctest.DocTestRunner(verbose=False).run(test, out=said.append)
    return "".join(said)


def unbalanced(text: str) -> list[str]:
    """Paragraphs outside code in which a $ or $$ is not closed."""
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", text))
    paragraphs = prose.split("\n\n")
    return [p for p in paragraphs if p.count("$$") % 2 or p.replace("$$", "").count("$") % 2]


@PARAMETERS
def test_a_lesson_has_its_sections_and_300_to_900_words(part: Part) -> None:
    text = lesson(part)
    prose = BLOCK.sub("", text)
    assert re.match(r"# \S.*\n\n## ", text)
    assert re.findall(r"^## (.*)$", prose, re.MULTILINE) == SECTIONS
    assert all(section(text, title).strip() for title in SECTIONS)
    assert 300 <= len(prose.split()) <= 900
    questions = re.findall(r"^\*\*.*\?\*\*", section(text, "What an interviewer asks"), re.M)
    assert 3 <= len(questions) <= 5
    assert re.search(r"arXiv:\d{4}\.\d{4,5}|doi:10\.|https://|RFC \d+", section(text, "Sources"))


@PARAMETERS
def test_the_numbers_of_a_lesson_are_what_the_code_gives(part: Part) -> None:
    text = lesson(part)
    assert ">>> " in text
    assert failures(text) == ""


def test_a_wrong_number_is_found() -> None:
    text = lesson(PARTS["attention"])
    number = re.findall(r"\d\.\d{3,}", section(text, "How it works"))[-1]
    assert number in failures(text.replace(number, f"{number}1"))


@PARAMETERS
def test_dollar_signs_are_balanced(part: Part) -> None:
    assert unbalanced(lesson(part)) == []


def test_an_unbalanced_dollar_sign_is_found() -> None:
    text = lesson(PARTS["attention"])
    assert unbalanced(text.replace("$", "", 1))
    assert unbalanced(f"{text}\n\n$$x$\n")


@PARAMETERS
def test_a_terminal_gets_every_formula_spelled_out(part: Part) -> None:
    prose = re.sub(r"`[^`\n]*`", "", BLOCK.sub("", lesson(part)))
    formulas = re.findall(r"\$\$.+?\$\$|\$.+?\$", prose, re.DOTALL)
    assert formulas
    assert [f for f in formulas if set("$\\{}") & set(spelled_out(f))] == []


def test_formulas_are_spelled_out_in_unicode() -> None:
    for formula, spelled in {
        r"$\sqrt{D}$": "`√D`",
        r"$1/\sqrt{\text{points}}$": "`1/√points`",
        r"$\theta_i = b^{-2i/D}$": "`θᵢ = b^(-2i/D)`",
        r"$R_m^\top R_{n-m}$": "`Rₘᵀ Rₙ₋ₘ`",
        r"$W_{gate} x$": "`W_gate x`",
        r"$\frac{x}{\sqrt{\text{mean}(x^2) + \epsilon}} \cdot w$": "`x / (√(mean(x²) + ε)) · w`",
        r"$\frac{e^{z_i / T}}{\sum_j e^{z_j / T}}$": "`(e^(zᵢ / T)) / (Σⱼ e^(zⱼ / T))`",
        "$a * b$ and `$x_1$`": "`a * b` and `$x_1$`",
        "so\n\n$$2^n$$\n\nit is": "so\n\n```text\n2ⁿ\n```\n\nit is",
        "```\n$\\no$\n```": "```\n$\\no$\n```",
    }.items():
        assert spelled_out(formula) == spelled
    with pytest.raises(ValueError, match=r"the formula has \\unknown"):
        spelled_out(r"$\unknown x$")


@PARAMETERS
def test_a_lesson_does_not_give_the_solution_away(part: Part) -> None:
    assert given_away(lesson(part), part.reference.read_text("utf-8")) == []


def test_a_solution_given_away_is_found() -> None:
    source = PARTS["rms-norm"].reference.read_text("utf-8")
    text = f"Write\n```python\n{source[source.index('        wide = ') :]}```\n"
    assert len(given_away(text, source)) == 3
