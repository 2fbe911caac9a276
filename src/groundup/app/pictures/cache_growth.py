"""How the key-value cache grows with a conversation."""

from functools import lru_cache
from typing import TYPE_CHECKING, Any

from groundup.app.picture import Picture, Slider

if TYPE_CHECKING:
    from groundup.models.load import LoadedModel

__all__ = ["PICTURE", "compute"]

MOST = 1500  # positions
WIDTH, HEIGHT = 520, 200


@lru_cache(maxsize=1)
def growth(loaded: "LoadedModel") -> list[int]:
    """The positions for which the library's own cache holds memory, after each one written."""
    import torch

    from groundup.engine.kv_cache import KVCache

    config = loaded.model.config
    cache = KVCache(1, config.kv_heads, config.head_dim, limit=config.context)
    one = torch.zeros(1, config.kv_heads, 1, config.head_dim)
    capacities = []
    for _ in range(min(MOST, config.context)):
        keys, _ = cache.write(0, one, one)  # a view of all that is reserved
        cache.advance(1)
        capacities.append(keys.untyped_storage().nbytes() // (2 * one.nbytes))
    return capacities


def compute(loaded: "LoadedModel", positions: float) -> dict[str, Any]:
    """Positions held and reserved, and the bytes of each in all layers."""
    config = loaded.model.config
    capacities = growth(loaded)
    held = min(int(positions), len(capacities))
    each = 2 * config.layers * config.kv_heads * config.head_dim * loaded.model.dtype.itemsize
    return {
        "held": held,
        "capacities": capacities,
        "bytes": each,
        "heads": [config.heads, config.kv_heads],
        "limits": {"positions": len(capacities)},
    }


def html(found: dict[str, Any]) -> str:
    """Two curves over the positions: what is held, and what is reserved for it."""
    held, capacities, each = found["held"], found["capacities"], found["bytes"]
    most = max(capacities)

    def point(x: int, y: int) -> str:
        return f"{WIDTH * x / len(capacities):.1f},{HEIGHT * (1 - y / most):.1f}"

    reserved = " ".join(point(n, capacity) for n, capacity in enumerate(capacities))
    line = f"{point(0, 0)} {point(len(capacities), len(capacities))}"
    x = WIDTH * held / len(capacities)
    capacity, (heads, kv_heads) = capacities[held - 1], found["heads"]
    words = (
        f"{held:,} positions are held: {size(held * each)}. The cache has room for {capacity:,}, "
        f"{size(capacity * each)}."
    )
    return (
        f"<p><strong>{size(each)} a position</strong>, in all layers. {words}</p>"
        f'<svg role="img" aria-label="{words}" viewBox="-4 -4 {WIDTH + 8} {HEIGHT + 8}" '
        'class="curve">'
        f'<polyline points="{reserved}" style="stroke: var(--line-strong)"/>'
        f'<polyline points="{line}" style="stroke: var(--accent)"/>'
        f'<line x1="{x:.1f}" x2="{x:.1f}" y2="{HEIGHT}" style="stroke: var(--yours)"/></svg>'
        "<p class='muted'>Grey: room, which doubles when it is used up. Green: what is held. "
        f"Keys and values for each of the {heads} query heads, instead of {kv_heads}, would be "
        f"{heads / kv_heads:g} times as much.</p>"
    )


def size(count: int) -> str:
    """Bytes, as people read them."""
    return f"{count / 1024:,.0f} KiB" if count < 1 << 20 else f"{count / (1 << 20):,.1f} MiB"


PICTURE = Picture(
    "kv-cache",
    "Every token of a conversation leaves its keys and values here, in every layer.",
    (Slider("positions", "Tokens so far", 300, 1, MOST),),
    html,
)
