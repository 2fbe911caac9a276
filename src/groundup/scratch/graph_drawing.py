"""A picture of how a tensor was computed, with values and gradients."""

from collections.abc import Mapping
from xml.sax.saxutils import escape

import numpy as np

from groundup.errors import GroundupError
from groundup.scratch.layered_layout import layered_layout
from groundup.scratch.tensor import Array, Tensor, topological_order

__all__ = ["draw_graph"]

MOST_NODES = 300
CHARACTER, LINE, MARGIN = 7.3, 17.0, 12.0  # pixels, of the monospaced font below

SIGNS = {
    "__add__": "+", "__sub__": "-", "__mul__": "×", "__truediv__": "÷", "__pow__": "power",
    "__neg__": "-", "__matmul__": "@", "__getitem__": "[ ]",
}  # fmt: skip

STYLE = """
text { font: 12px ui-monospace, Menlo, Consolas, monospace; fill: #1f2328; }
.title { font-weight: bold; }
.gradient { fill: #9a3412; }
.node { fill: #f6f8fa; stroke: #59636e; }
.leaf { fill: #ddf4ff; }
.constant { stroke-dasharray: 4 3; }
.edge { fill: none; stroke: #59636e; stroke-width: 1.3; }
.tip { fill: #59636e; }
@media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .gradient { fill: #ffb77c; }
  .node { fill: #161b22; stroke: #9198a1; }
  .leaf { fill: #0c2d4a; }
  .edge { stroke: #9198a1; }
  .tip { fill: #9198a1; }
}
"""


def draw_graph(last: Tensor, names: Mapping[str, Tensor]) -> str:
    """An SVG picture of the graph that leads to a tensor, from left to right.

    Each box has the operation or the leaf's name, the value, and, where ``grad`` is there, the
    gradient: call ``last.backward(keep=True)`` before. Leaves are tinted, constants dashed. It is
    readable on light and dark grounds.

    Args:
        last: the tensor at the right end.
        names: of leaves. Others are shown by their values alone.

    Raises:
        GroundupError: the graph has more than 300 nodes, which nobody could read.
    """
    nodes = topological_order(last) if last.requires_grad else [last]
    known = {id(tensor) for tensor in nodes}
    constants: list[Tensor] = []
    for tensor in nodes:
        for source in tensor.inputs:
            if id(source) not in known:
                known.add(id(source))
                constants.append(source)
    nodes = constants + nodes
    if len(nodes) > MOST_NODES:
        raise GroundupError(f"the graph has {len(nodes)} nodes: {MOST_NODES} can be drawn")
    number = {id(tensor): index for index, tensor in enumerate(nodes)}
    edges = [(number[id(i)], number[id(t)]) for t in nodes for i in t.inputs]
    titles = {id(tensor): name for name, tensor in names.items()}
    texts = [_lines(tensor, titles.get(id(tensor), "")) for tensor in nodes]
    sizes = [
        (max(map(len, lines)) * CHARACTER + 2 * MARGIN, len(lines) * LINE + MARGIN)
        for lines in texts
    ]
    layout = layered_layout(sizes, edges)
    width, height = layout.width + 2 * MARGIN, layout.height + 2 * MARGIN
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" '
        f'viewBox="{-MARGIN} {-MARGIN} {width:.1f} {height:.1f}" role="img">',
        f"<title>Computation graph of {len(nodes)} nodes</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" '
        'markerHeight="7" orient="auto"><path class="tip" d="M0 0L8 4L0 8z"/></marker></defs>',
    ]
    for path in layout.edges:
        (x, y), *rest = path
        curve = f"M{x:.1f} {y:.1f}"
        for nx, ny in rest:
            middle = (x + nx) / 2
            curve += f"C{middle:.1f} {y:.1f} {middle:.1f} {ny:.1f} {nx:.1f} {ny:.1f}"
            x, y = nx, ny
        parts.append(f'<path class="edge" marker-end="url(#tip)" d="{curve}"/>')
    for tensor, lines, corner, size in zip(nodes, texts, layout.corners, sizes, strict=True):
        parts += _box(tensor, lines, corner, size)
    return "\n".join([*parts, "</svg>\n"])


def _lines(tensor: Tensor, name: str) -> list[str]:
    """A box's text: a title, the value, and the gradient where there is one."""
    lines = [name or _operation(tensor), _shown(tensor.data)]
    if tensor.grad is not None:
        lines.append(f"grad {_shown(tensor.grad)}")
    return [line for line in lines if line]


def _operation(tensor: Tensor) -> str:
    """The operation's name: that of the function or method in which its way back was written."""
    if tensor.backward_function is None:
        return ""
    owner, *inner = tensor.backward_function.__qualname__.partition(".<locals>")[0].split(".")
    name = inner[-1] if inner else owner
    return owner if name == "__call__" else SIGNS.get(name, name)


def _shown(array: Array) -> str:
    if array.size == 1:
        text = f"{array.item():.4g}"
        return text if not array.ndim else "[" * array.ndim + text + "]" * array.ndim
    if array.size <= 4:
        return np.array2string(
            array, separator=", ", formatter={"float_kind": lambda x: f"{x:.3g}"}
        ).replace("\n", "")
    shape = "×".join(map(str, array.shape))
    return f"{shape}, {array.min():.3g} … {array.max():.3g}"


def _box(
    tensor: Tensor, lines: list[str], corner: tuple[float, float], size: tuple[float, float]
) -> list[str]:
    kind = "node" if tensor.inputs else "node leaf" if tensor.requires_grad else "node constant"
    (x, y), (width, height) = corner, size
    box = [
        f'<rect class="{kind}" x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" '
        f'height="{height:.1f}" rx="7"/>'
    ]
    for row, line in enumerate(lines):
        style = "title" if row == 0 else "gradient" if line.startswith("grad ") else "value"
        box.append(
            f'<text class="{style}" text-anchor="middle" x="{x + width / 2:.1f}" '
            f'y="{y + MARGIN / 2 + (row + 0.75) * LINE:.1f}">{escape(line)}</text>'
        )
    return box
