"""A part's lesson, and its mathematics spelled out for a terminal.

Lessons are Markdown with mathematics as KaTeX reads it, of which a few commands are enough. A page
shows them as they are; a terminal gets the same formulas in Unicode.
"""

import re

from groundup.course.parts.table import Part

__all__ = ["lesson", "spelled_out"]

SYMBOLS = {
    ",": "", "%": "%", "Delta": "Δ", "Phi": "Φ", "alpha": "α", "approx": "≈", "beta": "β",
    "cdot": "·", "cos": "cos", "exp": "exp", "propto": "∝", "psi": "ψ",
    "dots": "…", "epsilon": "ε", "infty": "∞", "lambda": "λ", "lceil": "⌈", "leq": "≤",
    "log": "log", "max": "max", "min": "min", "pi": "π", "pm": "±", "rceil": "⌉",
    "sigma": "σ", "sum": "Σ", "theta": "θ", "times": "×", "top": "T",
}  # fmt: skip
RAISED = str.maketrans("0123456789+-inT", "⁰¹²³⁴⁵⁶⁷⁸⁹⁺⁻ⁱⁿᵀ")
LOWERED = str.maketrans("0123456789+-aehijklmnoprstuvx", "₀₁₂₃₄₅₆₇₈₉₊₋ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓ")
CODE = re.compile(r"(^```.*?^```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
DISPLAYED = re.compile(r"\$\$(.+?)\$\$", re.DOTALL)
INLINE = re.compile(r"\$(.+?)\$", re.DOTALL)


def lesson(part: Part) -> str:
    """The Markdown of a part's lesson."""
    return (part.folder / "lesson.md").read_text("utf-8")


def spelled_out(markdown: str) -> str:
    """The text with its formulas as code in Unicode: ``$\\sqrt{D}$`` becomes ```√D```.

    As code, because Markdown would take their ``*``, ``_`` and ``\\`` for its own.

    Raises:
        ValueError: a formula has a command that is not known here.
    """
    pieces = CODE.split(markdown)
    for i in range(0, len(pieces), 2):  # the others are code
        text = DISPLAYED.sub(lambda found: f"```text\n{_plain(found[1])}\n```", pieces[i])
        pieces[i] = INLINE.sub(lambda found: f"`{_plain(found[1])}`", text)
    return "".join(pieces)


def _plain(formula: str) -> str:
    text = re.sub(r"\\([A-Za-z]+|[,%]) ?", _symbol, " ".join(formula.split()))
    text = re.sub(r"([_^])(\w)", _script, text)
    before = ""
    while text != before:  # from the innermost braces outwards
        before = text
        text = re.sub(r"\\text\{([^{}]*)\}", r"\1", text)
        text = re.sub(r"\\overline\{([^{}]*)\}", r"conj(\1)", text)
        text = re.sub(r"\\sqrt\{([^{}]*)\}", lambda found: f"√{_grouped(found[1])}", text)
        text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", _fraction, text)
        text = re.sub(r"([_^])\{([^{}]*)\}", _script, text)
    return text.strip()


def _symbol(found: re.Match[str]) -> str:
    name = found[1]
    if name in ("text", "overline", "sqrt", "frac"):
        return found[0]
    if name not in SYMBOLS:
        raise ValueError(f"the formula has \\{name}, and the commands known are {sorted(SYMBOLS)}")
    space = " " if found[0].endswith(" ") and name not in (",", "lceil") else ""
    return SYMBOLS[name] + space


def _fraction(found: re.Match[str]) -> str:
    return f"{_grouped(found[1])} / {_grouped(found[2])}"


def _script(found: re.Match[str]) -> str:
    script, table = found[2], RAISED if found[1] == "^" else LOWERED
    if all(ord(character) in table for character in script):
        return script.translate(table)
    alone = len(script) == 1 or (found[1] == "_" and script.isalpha())
    return found[1] + (script if alone else f"({script})")


def _grouped(text: str) -> str:
    """In brackets, unless it is one thing."""
    return text if re.fullmatch(r"√?\w+|√?\([^()]*\)|\|\w\|", text) else f"({text})"
