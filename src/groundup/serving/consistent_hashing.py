"""Consistent hashing: which node a key belongs to, so that few keys move when nodes change."""

import math
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from hashlib import blake2b

__all__ = ["HashRing", "position"]


def position(text: str) -> int:
    """Where a text lies on the ring: the same in every process, on every machine.

    Python's own ``hash`` differs between processes. This is the BLAKE2b digest, of 8 bytes, of the
    text in UTF-8, read as an unsigned number with the most significant byte first.

    Args:
        text: any; a lone surrogate, which UTF-8 has no place for, is encoded as if it had.

    Returns:
        0 <= position < 2**64.

    Source: RFC 7693.
    """
    encoded = text.encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(encoded, digest_size=8).digest(), "big")


class HashRing:
    """Nodes on a ring of 2**64 positions. A key belongs to the first node at or after its own.

    Each node stands at many points, so that its share of the ring varies little, and its weight
    sets how many. A node that comes takes keys from the others and moves none between them; one
    that goes leaves its keys to the others. With n equal nodes either moves about 1 / n of them.

    Point number i of a node, from 0, lies at ``position(f"{node}#{i}")``. After the last point of
    the ring comes the first. Two nodes at one position stand in the order of their names. So the
    ring depends on the nodes and their weights alone, and not on the order in which they came.

    Source: Karger et al. 1997, "Consistent hashing and random trees", section 4; with bounded
    loads, Mirrokni et al. 2016, "Consistent hashing with bounded loads", section 1.
    """

    def __init__(self, points: int = 160) -> None:
        """Make a ring without nodes.

        Args:
            points: of a node of weight 1. A node's share of the keys then varies by about
                1 / sqrt(points) of itself.

        Raises:
            ValueError: points is less than 1.
        """
        if points < 1:
            raise ValueError(f"a node needs at least 1 point, got {points}")
        self._points = points
        self._weights: dict[str, float] = {}
        self._ring: list[tuple[int, str]] = []  # sorted

    @property
    def nodes(self) -> dict[str, float]:
        """The nodes, each with its weight: a copy."""
        return dict(self._weights)

    def add(self, node: str, weight: float = 1.0) -> None:
        """Put a node on the ring, at ``round(points * weight)`` points and at least at one.

        Raises:
            ValueError: the node is there already, or the weight is not positive and finite.
        """
        if node in self._weights:
            raise ValueError(f"the node {node!r} is on the ring: remove it before adding it again")
        if not 0 < weight < math.inf:
            raise ValueError(f"the weight of {node!r} must be positive and finite, got {weight}")
        count = max(1, round(self._points * weight))
        self._weights[node] = weight
        self._ring += [(position(f"{node}#{i}"), node) for i in range(count)]
        self._ring.sort()

    def remove(self, node: str) -> None:
        """Take a node off the ring.

        Raises:
            ValueError: it is not there.
        """
        if node not in self._weights:
            raise ValueError(f"no node {node!r} is on the ring: there are {sorted(self._weights)}")
        del self._weights[node]
        self._ring = [(place, name) for place, name in self._ring if name != node]

    def lookup(self, key: str) -> str:
        """The node that a key belongs to.

        Raises:
            ValueError: the ring has no nodes.
        """
        return self.first(key, 1)[0]

    def first(self, key: str, k: int) -> list[str]:
        """The first k different nodes from the key's position on: its own, then where to turn next.

        Args:
            key: any text.
            k: at least 1; if there are fewer nodes, all of them are given.

        Raises:
            ValueError: the ring has no nodes, or k is less than 1.
        """
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        found: list[str] = []
        for node in self._walk(key):
            if len(found) == k:
                break
            found.append(node)
        return found

    def bounded(self, key: str, loads: Mapping[str, int], factor: float = 1.25) -> str:
        """The first node from the key's position on that has room for one more.

        With m the sum of the loads, the one to be placed included, a node of the share s of the
        weights has room while its load is below ``ceil(factor * m * s)``. So no node gets more
        than about ``factor`` times its share, and a key keeps its node as long as that has room.

        Args:
            key: any text.
            loads: what each node is at, 0 or more. Nodes that are not named here are passed over,
                as if they were off the ring.
            factor: above 1. Small factors balance better, large ones move fewer keys.

        Raises:
            ValueError: loads is empty or names a node that is not on the ring, or factor is not
                above 1.
        """
        if not factor > 1:
            raise ValueError(f"factor must be above 1, got {factor}")
        if strangers := loads.keys() - self._weights.keys():
            raise ValueError(f"{sorted(strangers)} have loads and are not on the ring: add them")
        if not loads:
            raise ValueError("no node has a load: name those that may be chosen, idle ones with 0")
        room = factor * (sum(loads.values()) + 1) / sum(self._weights[node] for node in loads)
        return next(
            node
            for node in self._walk(key)
            if node in loads and loads[node] < math.ceil(room * self._weights[node])
        )

    def _walk(self, key: str) -> Iterator[str]:
        """Every node once, in the order in which the key meets them."""
        if not self._ring:
            raise ValueError("the ring has no nodes: add one")
        start = bisect_left(self._ring, (position(key), ""))
        met: set[str] = set()
        for i in range(len(self._ring)):
            _, node = self._ring[(start + i) % len(self._ring)]
            if node not in met:
                met.add(node)
                yield node
                if len(met) == len(self._weights):
                    return
