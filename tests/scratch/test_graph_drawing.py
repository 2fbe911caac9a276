"""Formulas, the layout of their graphs, and the picture."""

import re
import xml.etree.ElementTree as ET
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groundup.cli import main
from groundup.errors import GroundupError
from groundup.scratch.expression import evaluate
from groundup.scratch.graph_drawing import MOST_NODES, draw_graph
from groundup.scratch.layered_layout import layered_layout
from groundup.scratch.tensor import Tensor

SVG = "{http://www.w3.org/2000/svg}"


def texts(svg: str) -> list[str]:
    return [element.text or "" for element in ET.fromstring(svg).iter(f"{SVG}text")]


# ---- layout


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[tuple[float, float]], list[tuple[int, int]]]:
    n = draw(st.integers(1, 12))
    sizes = [(draw(st.floats(20, 90)), draw(st.floats(20, 60))) for _ in range(n)]
    pairs = [(a, b) for b in range(n) for a in range(b)]
    edges = draw(st.lists(st.sampled_from(pairs), max_size=20)) if pairs else []
    return sizes, edges


@settings(max_examples=60, deadline=None, derandomize=True)
@given(graphs())
def test_boxes_never_overlap_and_edges_go_right_between_them(
    graph: tuple[list[tuple[float, float]], list[tuple[int, int]]],
) -> None:
    sizes, edges = graph
    layout = layered_layout(sizes, edges)
    boxes = [(x, y, x + w, y + h) for (x, y), (w, h) in zip(layout.corners, sizes, strict=True)]
    for i, (left, top, right, bottom) in enumerate(boxes):
        assert min(left, top) > -1e-6
        assert right < layout.width + 1e-6
        assert bottom < layout.height + 1e-6
        for other in boxes[:i]:
            beside = right < other[0] or other[2] < left or bottom < other[1] or other[3] < top
            assert beside, "two boxes overlap"
    for (before, after), path in zip(edges, layout.edges, strict=True):
        xs = [x for x, _ in path]
        assert xs == sorted(xs)
        assert path[0][0] == pytest.approx(boxes[before][2])
        assert path[-1][0] == pytest.approx(boxes[after][0])
        for x, y in path[1:-1]:  # where it passes a layer, no box is in its way
            assert not any(b[0] - 1e-6 < x < b[2] + 1e-6 and b[1] <= y <= b[3] for b in boxes)


def test_a_chain_is_straight_and_crossings_are_sorted_away() -> None:
    chain = layered_layout([(20.0, 20.0)] * 3, [(0, 1), (1, 2)])
    assert {y for path in chain.edges for _, y in path} == {10.0}
    # Two sources and two sinks, joined crosswise: one side has to turn round.
    crossed = layered_layout([(20.0, 20.0)] * 4, [(0, 3), (1, 2)])
    (a, b), (c, d) = ((path[0][1], path[-1][1]) for path in crossed.edges)
    assert (a < c) == (b < d)


# ---- formulas


@pytest.mark.parametrize(
    "formula",
    [
        "a + 2 * b - c / 4",
        "-(a - b) ** 3 * 2 ** -1",
        "tanh(a) + exp(b) * relu(c)",
        "sum(sqrt(a * a) + sigmoid(b))",
        "a @ b",
    ],
)
def test_formulas_mean_what_they_mean_in_python(formula: str) -> None:
    data = {name: np.random.default_rng(i).standard_normal(3) for i, name in enumerate("abc")}
    mine = {name: Tensor(x, requires_grad=True) for name, x in data.items()}
    theirs = {name: torch.tensor(x, requires_grad=True) for name, x in data.items()}
    functions = {n: getattr(torch, n) for n in ("tanh", "exp", "relu", "sum", "sqrt", "sigmoid")}
    expected = eval(formula, functions | theirs)
    result = evaluate(formula, mine)
    np.testing.assert_allclose(result.data, expected.detach().numpy(), rtol=1e-12)


@pytest.mark.parametrize(
    ("formula", "message"),
    [
        ("a +", "'a +' is not a formula: invalid syntax"),
        ("a + q", "q has no value: add q=1.0"),
        ("a ** a", "an exponent has to be a number"),
        ("__import__('os').system('true')", "is not known here"),
        ("a.data", "'a.data' is not known here"),
        ("[a for a in a]", "is not known here"),
        ("eval(a)", "is not known here: a formula has names, numbers"),
        ("exp(a, a)", "is not known here"),
        ("True + a", "'True' is not known here"),
        ("a + b", "cannot be computed: operands could not be broadcast"),
        ("(" * 300 + "a" + ")" * 300, "is not a formula"),
        ("a" + " + a" * 5000, "cannot be computed"),
        ("1 / 0", "cannot be computed"),
    ],
)
def test_what_is_no_formula_is_refused(formula: str, message: str) -> None:
    with pytest.raises(GroundupError, match=re.escape(message)):
        evaluate(formula, {"a": Tensor(np.ones(2)), "b": Tensor(np.ones(3))})


# ---- the picture


def test_the_picture_has_every_node_once_with_value_and_gradient() -> None:
    x, w = Tensor(np.float64(3.0), requires_grad=True), Tensor(np.float64(-2.0), requires_grad=True)
    y = w * x + 1
    z = y * y
    z.backward(keep=True)
    svg = draw_graph(z, {"x": x, "w": w})
    root = ET.fromstring(svg)
    assert len(list(root.iter(f"{SVG}rect"))) == 6  # x, w, 1, ×, +, ×
    edges = [p for p in root.iter(f"{SVG}path") if p.get("class") == "edge"]
    assert len(edges) == 6
    shown = texts(svg)
    for text in ("x", "3", "grad 20", "w", "-2", "grad -30", "-6", "+", "-5", "25", "grad 1"):
        assert text in shown
    assert shown.count("×") == 2
    assert "prefers-color-scheme: dark" in svg
    classes = sorted(rect.get("class") or "" for rect in root.iter(f"{SVG}rect"))
    assert classes == ["node"] * 3 + ["node constant"] + ["node leaf"] * 2


def test_large_values_are_summed_up_and_names_escaped() -> None:
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    shown = texts(draw_graph(x.sum(), {"a<b": x}))
    assert "3×4, 0 … 11" in shown
    assert "a<b" in shown
    assert "sum" in shown


def test_a_graph_that_nobody_could_read_is_refused() -> None:
    x = Tensor(np.ones(1), requires_grad=True)
    y = x
    for _ in range(MOST_NODES):
        y = y + x
    with pytest.raises(GroundupError, match=f"has {MOST_NODES + 1} nodes: {MOST_NODES} can be"):
        draw_graph(y, {})


def test_the_command_draws_and_tells_the_gradients(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "graph.svg"
    with pytest.raises(SystemExit) as ended:
        main(["draw", "(w @ x + b) ** 2", "w=[1,2]", "x=[3,-1]", "b=0.5", "--out", str(file)])
    assert ended.value.code == 0
    out = capsys.readouterr().out
    assert "d/dw = [9.0, -3.0]\nd/dx = [3.0, 6.0]\nd/db = 3.0\n2.25 in " in out
    assert "grad [9, -3]" in texts(file.read_text())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["a", "a=x"], "'a=x' is not a value: expected NAME=NUMBER"),
        (["a", "a"], "'a' is not a value"),
        (["a", "a=[1,[2]]"], "is not a value"),
        (["a", 'a="text"'], "is not a value"),
        (["a", "a=1", "--out", "/nowhere/graph.svg"], "/nowhere/graph.svg cannot be written"),
    ],
)
def test_bad_commands_are_one_line(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["draw", *arguments])
    assert ended.value.code == 1
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
