"""An exercise from a finished module: the same file, with the bodies left to be written."""

import ast
from collections.abc import Iterator

__all__ = ["stub_of"]

BODY = "raise NotImplementedError"

Function = ast.FunctionDef | ast.AsyncFunctionDef
Cut = tuple[int, int, list[str]]  # first line, last line (from 1), what stands there instead


def stub_of(source: str) -> str:
    """The stub of a module's source.

    Kept as they stand: the module's docstring, imports, constants, comments outside bodies, and
    of every public class and function its decorators, signature and docstring. Each public body
    becomes ``raise NotImplementedError``. Private functions and classes are part of the solution
    and go, with the comment right above them and the blank lines before it.

    Raises:
        SyntaxError: the source is not Python.
    """
    lines = source.splitlines()
    for first, last, replacement in sorted(_cuts(ast.parse(source), lines), reverse=True):
        lines[first - 1 : last] = replacement
    return "\n".join(lines).strip() + "\n"


def _cuts(parent: ast.Module | ast.ClassDef, lines: list[str]) -> Iterator[Cut]:
    for node in parent.body:
        if not isinstance(node, Function | ast.ClassDef) or _overload(node):
            continue
        if not _public(node.name):
            yield _whole_cut(node, lines)
        elif isinstance(node, ast.ClassDef):
            yield from _cuts(node, lines)
        else:
            yield _body_cut(node, lines)


def _public(name: str) -> bool:
    return not name.startswith("_") or (name.startswith("__") and name.endswith("__"))


def _overload(node: Function | ast.ClassDef) -> bool:
    """Whether it is a signature for type checkers alone."""
    return any(ast.unparse(d).rpartition(".")[2] == "overload" for d in node.decorator_list)


def _body_cut(node: Function, lines: list[str]) -> Cut:
    indent = " " * (node.col_offset + 4)
    body, last = node.body[0], _end(node)
    while last < len(lines) and lines[last].startswith(f"{indent}#"):
        last += 1
    documented = ast.get_docstring(node) is not None
    header = lines[body.lineno - 1].encode()[: body.col_offset].decode()
    if header.strip():  # the body stands in the same line
        docstring = [indent + ast.unparse(body)] if documented else []
        return body.lineno, last, [header.rstrip(), *docstring, indent + BODY]
    first = _end(body) + 1 if documented else body.lineno
    while not documented and not lines[first - 2].partition("#")[0].strip():
        first -= 1
    return first, last, [indent + BODY]


def _whole_cut(node: Function | ast.ClassDef, lines: list[str]) -> Cut:
    first = min([node.lineno, *(d.lineno for d in node.decorator_list)])
    while first > 1 and lines[first - 2].strip().startswith("#"):
        first -= 1
    while first > 1 and not lines[first - 2].strip():
        first -= 1
    return first, _end(node), []


def _end(node: ast.stmt) -> int:
    assert node.end_lineno is not None  # nodes that were parsed from a text have it
    return node.end_lineno
