"""An exercise from a finished module: the same file, with the bodies left to be written."""

import ast

__all__ = ["stub_of"]

BODY = "raise NotImplementedError"


def stub_of(source: str) -> str:
    """The stub of a module's source.

    Kept as they stand: the module's docstring, imports, constants, comments outside bodies, and
    of every public class and function its decorators, signature and docstring. Each public body
    becomes ``raise NotImplementedError``. Private functions and classes are part of the solution
    and go, with the comment right above them.

    Raises:
        SyntaxError: the source is not Python.
    """
    lines = source.splitlines()
    cuts: list[tuple[int, int, list[str]]] = []  # first line, last line (from 1), replacement
    for node in ast.parse(source).body:
        if isinstance(node, ast.FunctionDef):
            cuts.append(_body_cut(node) if _public(node.name) else _whole_cut(node, lines))
        elif isinstance(node, ast.ClassDef):
            if _public(node.name):
                cuts += _method_cuts(node, lines)
            else:
                cuts.append(_whole_cut(node, lines))
    for first, last, replacement in sorted(cuts, reverse=True):
        lines[first - 1 : last] = replacement
    return _at_most_two_blank("\n".join(lines).rstrip() + "\n")


def _public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _method_cuts(node: ast.ClassDef, lines: list[str]) -> list[tuple[int, int, list[str]]]:
    methods = [item for item in node.body if isinstance(item, ast.FunctionDef)]
    return [_body_cut(m) if _public(m.name) else _whole_cut(m, lines) for m in methods]


def _body_cut(node: ast.FunctionDef) -> tuple[int, int, list[str]]:
    """From the line after the docstring to the end of the function."""
    documented = ast.get_docstring(node) is not None
    statements = node.body[1:] if documented else node.body
    indent = " " * (node.col_offset + 4)
    if not statements:  # a docstring alone
        end = node.end_lineno or node.lineno
        return end + 1, end, [indent + BODY]
    first = (node.body[0].end_lineno or 0) + 1 if documented else statements[0].lineno
    return first, node.end_lineno or first, [indent + BODY]


def _whole_cut(
    node: ast.FunctionDef | ast.ClassDef, lines: list[str]
) -> tuple[int, int, list[str]]:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    while first > 1 and lines[first - 2].strip().startswith("#"):
        first -= 1
    return first, node.end_lineno or first, []


def _at_most_two_blank(text: str) -> str:
    while "\n\n\n\n" in text:
        text = text.replace("\n\n\n\n", "\n\n\n")
    return text
