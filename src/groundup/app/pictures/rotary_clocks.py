"""How positions turn pairs of features, and why only the distance counts."""

from math import cos, sin
from typing import TYPE_CHECKING, Any

from groundup.app.picture import Picture, Slider

if TYPE_CHECKING:
    from groundup.models.load import LoadedModel

__all__ = ["PICTURE", "compute"]

CLOCKS = 8
MOVED = 100  # positions


def compute(loaded: "LoadedModel", query: float, key: float) -> dict[str, Any]:
    """The angles of some pairs of features at two positions, and the product of two vectors there.

    The vectors are fixed, of length 1; the second product is that of both `MOVED` positions later.
    """
    import torch

    from groundup.models.rotary import rotary_frequencies, rotary_table, rotate

    D = loaded.model.config.head_dim
    frequencies = rotary_frequencies(D, loaded.model.config.rotary_base)
    positions = torch.tensor([int(query), int(key), int(query) + MOVED, int(key) + MOVED])
    turned = rotate(torch.full((1, 1, 4, D), D**-0.5), *rotary_table(positions, frequencies))[0, 0]
    step = max(1, len(frequencies) // CLOCKS)
    return {
        "query": int(query),
        "key": int(key),
        "clocks": [
            {"pair": pair, "speed": float(frequencies[pair]),
             "angles": [float(frequencies[pair]) * int(query), float(frequencies[pair]) * int(key)]}
            for pair in range(0, len(frequencies), step)
        ],
        "product": float(turned[0] @ turned[1]),
        "moved": float(turned[2] @ turned[3]),
    }  # fmt: skip


def html(found: dict[str, Any]) -> str:
    """A clock for each pair: one hand for the query, one for the key."""
    clocks = "".join(
        f"<li><svg role='img' width='84' height='84' viewBox='-42 -42 84 84' aria-label='"
        f"Pair {clock['pair']}: the query is turned by {clock['angles'][0]:.2f} rad, the key by "
        f"{clock['angles'][1]:.2f} rad'><circle r='38' style='fill: var(--surface); "
        "stroke: var(--line-strong)'/>"
        + hand(clock["angles"][0], "var(--accent)", 34)
        + hand(clock["angles"][1], "var(--yours)", 26)
        + f"</svg><span>pair {clock['pair']}</span><span class='muted'>{clock['speed']:.2g} rad a "
        "position</span></li>"
        for clock in found["clocks"]
    )
    distance = found["query"] - found["key"]
    return (
        "<p><span class='key-query'>Long hand: query</span>, <span class='key-key'>short hand: key"
        f"</span>. They stand {distance} positions apart.</p><ul class='clocks'>{clocks}</ul>"
        f"<p>Product of two fixed vectors at {found['query']} and {found['key']}: "
        f"<strong>{found['product']:.4f}</strong>; both {MOVED} positions later: "
        f"<strong>{found['moved']:.4f}</strong>: it depends on the distance alone.</p>"
    )


def hand(angle: float, colour: str, length: int) -> str:
    x, y = length * cos(angle), -length * sin(angle)
    return (
        f"<line x2='{x:.2f}' y2='{y:.2f}' style='stroke: {colour}; stroke-width: 3; "
        "stroke-linecap: round'/>"
    )


PICTURE = Picture(
    "rotary",
    "Each pair of features is a clock that turns with the position; the first are the fastest.",
    (
        Slider("query", "Position of the query", 12, 0, 500),
        Slider("key", "Position of the key", 4, 0, 500),
    ),
    html,
)
