"""Where to put the nodes of a graph without cycles: in layers, with few crossings."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

__all__ = ["Layout", "layered_layout"]

GAP_BETWEEN_LAYERS = 56.0
GAP_WITHIN_LAYER = 18.0
LANE = 10.0  # the height that an edge takes where it passes a layer
SWEEPS = 12

Point = tuple[float, float]


@dataclass(frozen=True)
class Layout:
    """The upper left corner of each node, the points of each edge, and the size of the whole."""

    corners: list[Point]
    edges: list[list[Point]]
    width: float
    height: float


def layered_layout(
    sizes: Sequence[tuple[float, float]], edges: Sequence[tuple[int, int]]
) -> Layout:
    """Lay a graph out from left to right.

    A node's layer is the longest way to it. An edge that passes layers is given a place in each of
    them. Within the layers, nodes and passing edges are sorted by the mean place of their
    neighbours, to and fro, until few edges cross.

    Args:
        sizes: the width and height of each node.
        edges: pairs of nodes by their numbers; the first of a pair comes before the second in
            ``sizes``, so that there can be no cycle.

    Source: Sugiyama et al. 1981, "Methods for visual understanding of hierarchical system
    structures", sections 3 and 4 (barycentres).
    """
    depth = [0] * len(sizes)
    for before, after in sorted(edges, key=lambda edge: edge[1]):
        depth[after] = max(depth[after], depth[before] + 1)
    # From here on, what has a place in a layer is a number: nodes, then the lanes of long edges.
    heights = [height for _, height in sizes]
    chains: list[list[int]] = []
    for before, after in edges:
        lanes = list(range(len(depth), len(depth) + depth[after] - depth[before] - 1))
        depth += range(depth[before] + 1, depth[after])
        heights += [LANE] * len(lanes)
        chains.append([before, *lanes, after])
    layers: list[list[int]] = [[] for _ in range(max(depth) + 1)]
    for place, level in enumerate(depth):
        layers[level].append(place)
    tops = _sort(layers, chains, heights)

    columns, x = [], 0.0
    for layer in layers:
        columns.append(x)
        x += max((sizes[p][0] for p in layer if p < len(sizes)), default=0) + GAP_BETWEEN_LAYERS
    widths = [b - a - GAP_BETWEEN_LAYERS for a, b in zip(columns, [*columns[1:], x], strict=True)]
    corners = [
        (columns[level] + (widths[level] - width) / 2, tops[node])
        for node, ((width, _), level) in enumerate(zip(sizes, depth, strict=False))
    ]
    paths = []
    for chain in chains:
        middles = [tops[place] + heights[place] / 2 for place in chain]
        first, last = chain[0], chain[-1]
        path = [(corners[first][0] + sizes[first][0], middles[0])]
        for place, y in zip(chain[1:-1], middles[1:-1], strict=True):
            left = columns[depth[place]]
            path += [(left, y), (left + widths[depth[place]], y)]
        paths.append([*path, (corners[last][0], middles[-1])])
    bottom = max(top + height for top, height in zip(tops, heights, strict=True))
    return Layout(corners, paths, x - GAP_BETWEEN_LAYERS, bottom)


def _sort(
    layers: list[list[int]], chains: Sequence[Sequence[int]], heights: Sequence[float]
) -> list[float]:
    """Sort each layer in place; return the top of each place."""
    earlier: list[list[int]] = [[] for _ in heights]
    later: list[list[int]] = [[] for _ in heights]
    for chain in chains:
        for before, after in pairwise(chain):
            earlier[after].append(before)
            later[before].append(after)
    tops = _stack(layers, heights)
    for sweep in range(SWEEPS):
        forward = sweep % 2 == 0
        for layer in layers if forward else reversed(layers):
            neighbours = earlier if forward else later

            def wanted(place: int, near: list[list[int]] = neighbours) -> float:
                around = near[place] or [place]
                return sum(tops[n] + heights[n] / 2 for n in around) / len(around)

            layer.sort(key=wanted)
            tops[:] = _stack(layers, heights)
    return tops


def _stack(layers: Sequence[Sequence[int]], heights: Sequence[float]) -> list[float]:
    """Every layer from top to bottom in its order, all centred on one line."""
    totals = [
        sum(heights[p] for p in layer) + GAP_WITHIN_LAYER * (len(layer) - 1) for layer in layers
    ]
    tops = [0.0] * len(heights)
    for layer, total in zip(layers, totals, strict=True):
        y = (max(totals) - total) / 2
        for place in layer:
            tops[place] = y
            y += heights[place] + GAP_WITHIN_LAYER
    return tops
