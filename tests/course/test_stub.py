"""The exercise keeps what the learner needs of a module, and nothing of its solution."""

import ast
from textwrap import dedent

import pytest

from groundup.course.parts.table import PARTS, Part
from groundup.course.stub import stub_of

Definition = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef

parts = pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)


def definitions(source: str) -> dict[str, Definition]:
    """Every function, class and method by its dotted name, without those inside functions."""

    def within(body: list[ast.stmt], prefix: str) -> dict[str, Definition]:
        found: dict[str, Definition] = {}
        for node in body:
            if isinstance(node, Definition):
                found[prefix + node.name] = node
            if isinstance(node, ast.ClassDef):
                found |= within(node.body, f"{prefix}{node.name}.")
        return found

    return within(ast.parse(source).body, "")


def private(name: str) -> bool:
    return any(n.startswith("_") and not n.endswith("__") for n in name.split("."))


def heading(node: Definition) -> tuple[object, ...]:
    """What a definition says before its body."""
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if isinstance(node, ast.ClassDef):
        return node.name, [ast.unparse(base) for base in node.bases], decorators
    returns = None if node.returns is None else ast.unparse(node.returns)
    return type(node), node.name, ast.unparse(node.args), returns, decorators


def statements(source: str) -> list[str]:
    """What a module does outside functions and classes: its docstring, imports and constants."""
    return [ast.unparse(n) for n in ast.parse(source).body if not isinstance(n, Definition)]


@parts
def test_the_stub_of_a_part_keeps_all_but_the_bodies(part: Part) -> None:
    source = part.reference.read_text()
    stub = stub_of(source)
    wanted = {name: node for name, node in definitions(source).items() if not private(name)}
    found = definitions(stub)
    assert wanted.keys() == found.keys()
    assert found
    assert statements(stub) == statements(source)
    for name, node in wanted.items():
        assert heading(found[name]) == heading(node)
        assert ast.get_docstring(found[name]) == ast.get_docstring(node)
        fields = [ast.unparse(n) for n in node.body if isinstance(n, ast.AnnAssign | ast.Assign)]
        if isinstance(node, ast.ClassDef):
            assert [line for line in fields if line not in ast.unparse(found[name])] == []


@parts
def test_the_stub_of_a_part_has_single_raises_for_bodies(part: Part) -> None:
    for node in definitions(stub_of(part.reference.read_text())).values():
        if not isinstance(node, ast.ClassDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            assert [ast.unparse(statement) for statement in body] == ["raise NotImplementedError"]


@parts
def test_the_stub_of_a_part_defines_what_it_promises(part: Part) -> None:
    names: dict[str, object] = {"__name__": f"stubs.{part.stem}"}
    exec(compile(stub_of(part.reference.read_text()), part.stem, "exec"), names)
    promised = names["__all__"]
    assert isinstance(promised, list)
    assert [name for name in promised if name not in names] == []


@parts
def test_every_public_definition_of_a_part_is_documented(part: Part) -> None:
    """The docstring is the assignment."""
    found = definitions(part.reference.read_text())
    dunder = {name for name in found if name.endswith("__")}
    undocumented = {name for name, node in found.items() if ast.get_docstring(node) is None}
    assert {name for name in undocumented - dunder if not private(name)} == set()


CASES = {
    "a function without a docstring": (
        """
        def f(
            x: int,
        ) -> int:  # of one
            # the crux

            y = x + 1
            return y
        """,
        """
        def f(
            x: int,
        ) -> int:  # of one
            raise NotImplementedError
        """,
    ),
    "a docstring alone": (
        """
        def f():
            '''Say nothing.'''


        X = 1
        """,
        """
        def f():
            '''Say nothing.'''
            raise NotImplementedError


        X = 1
        """,
    ),
    "functions of one line": (
        """
        def f(x="é"): return x
        def g(): "Documented."; return 1
        async def h(): ...
        """,
        """
        def f(x="é"):
            raise NotImplementedError
        def g():
            'Documented.'
            raise NotImplementedError
        async def h():
            raise NotImplementedError
        """,
    ),
    "an asynchronous function": (
        """
        async def f(x):
            '''Wait.'''
            async with x:
                return await x
        """,
        """
        async def f(x):
            '''Wait.'''
            raise NotImplementedError
        """,
    ),
    "overloads": (
        """
        @overload
        def f(x: int) -> int: ...
        @typing.overload
        def f(x: str) -> str: ...
        def f(x):
            return x
        """,
        """
        @overload
        def f(x: int) -> int: ...
        @typing.overload
        def f(x: str) -> str: ...
        def f(x):
            raise NotImplementedError
        """,
    ),
    "a class": (
        """
        @dataclass(frozen=True)
        class A(Base):
            '''Holds x.'''

            x: int = 1  # the value

            def __post_init__(self) -> None:
                '''Check x.'''
                self._check()

            @property
            def twice(self) -> int:
                return 2 * self.x

            @twice.setter
            def twice(self, value: int) -> None:
                self.x = value // 2

            @classmethod
            @functools.cache
            def made(cls): return cls()

            # How x is checked.
            @functools.cache
            def _check(self): ...

            class Inner:
                '''Inside.'''

                def f(self):
                    '''Inside of that.'''
                    return 1
        """,
        """
        @dataclass(frozen=True)
        class A(Base):
            '''Holds x.'''

            x: int = 1  # the value

            def __post_init__(self) -> None:
                '''Check x.'''
                raise NotImplementedError

            @property
            def twice(self) -> int:
                raise NotImplementedError

            @twice.setter
            def twice(self, value: int) -> None:
                raise NotImplementedError

            @classmethod
            @functools.cache
            def made(cls):
                raise NotImplementedError

            class Inner:
                '''Inside.'''

                def f(self):
                    '''Inside of that.'''
                    raise NotImplementedError
        """,
    ),
    "comments": (
        """
        # At the top.
        X = 1  # one

        # About f, from a distance.

        # About f.
        def f():
            '''F.'''
            # the solution
            return 1
            # its end


        # About the helper,
        # which goes.
        @cache
        def _g():
            return 2


        # At the end.
        """,
        """
        # At the top.
        X = 1  # one

        # About f, from a distance.

        # About f.
        def f():
            '''F.'''
            raise NotImplementedError


        # At the end.
        """,
    ),
    "private classes, and functions in functions": (
        """
        class _Helper:
            def f(self):
                return 1


        def f():
            def inner():
                return 1

            class Local:
                def g(self): ...

            return inner
        """,
        """
        def f():
            raise NotImplementedError
        """,
    ),
    "nothing to do": (
        """
        '''Constants.'''
        X = {
            'def f(): return 1': 2,
        }
        """,
        """
        '''Constants.'''
        X = {
            'def f(): return 1': 2,
        }
        """,
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_the_stub_of_odd_code(case: str) -> None:
    source, expected = (dedent(text).strip() + "\n" for text in CASES[case])
    stub = stub_of(source)
    assert stub == expected
    compile(stub, case, "exec", dont_inherit=True)
    assert stub_of(stub) == stub


def test_what_is_not_python_is_an_error() -> None:
    with pytest.raises(SyntaxError):
        stub_of("def f(:\n")
