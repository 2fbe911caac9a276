"""Which tokens of a sentence each token reads from, in one head of the model."""

from html import escape
from typing import TYPE_CHECKING, Any

from groundup.app.picture import Picture, Slider, Text

if TYPE_CHECKING:
    from groundup.models.load import LoadedModel

__all__ = ["PICTURE", "compute"]

TOKENS = 28
CELL = 20  # pixels


def compute(loaded: "LoadedModel", text: str, layer: float, head: float) -> dict[str, Any]:
    """The weights of one head: ``weights[i][j]`` is how much token i reads of token j.

    Layers and heads count from 1; beyond the last one the last is taken.

    Raises:
        ValueError: the text has no token, or too many.
    """
    import torch

    from groundup.models.attention_maps import read_with_attention

    ids = loaded.tokenizer.encode(text, special=False)
    if not 1 <= len(ids) <= TOKENS:
        raise ValueError(f"the sentence has {len(ids)} tokens: write 1 to {TOKENS}")
    config = loaded.model.config
    layer, head = min(int(layer), config.layers), min(int(head), config.heads)
    tensor = torch.tensor(ids, device=loaded.model.device)
    _, maps = read_with_attention(loaded.model, tensor, len(ids))
    weights = maps[layer - 1, head - 1, :, 1:]  # without those before: there are none
    return {
        "tokens": [loaded.tokenizer.decode([id]) for id in ids],
        "weights": weights.tolist(),
        "layer": layer,
        "head": head,
        "limits": {"layer": config.layers, "head": config.heads},
    }


def html(found: dict[str, Any]) -> str:
    """A square for each pair of tokens, and the same in words."""
    tokens, weights = [shown(token) for token in found["tokens"]], found["weights"]
    left = 12 + 7 * max(map(len, tokens))
    side = left + CELL * len(tokens) + 2
    cells = "".join(
        f'<rect x="{left + CELL * j}" y="{left + CELL * i}" width="{CELL - 1}" height="{CELL - 1}" '
        f'rx="3" style="fill: var(--accent); fill-opacity: {0.04 + 0.96 * weights[i][j]:.3f}">'
        f"<title>{escape(tokens[i])} reads {escape(tokens[j])}: {weights[i][j]:.0%}</title></rect>"
        for i in range(len(tokens))
        for j in range(i + 1)
    )
    labels = "".join(
        f'<text x="{left - 6}" y="{left + CELL * n + 14}" text-anchor="end">{escape(token)}</text>'
        f'<text transform="translate({left + CELL * n + 14},{left - 6}) rotate(-90)">'
        f"{escape(token)}</text>"
        for n, token in enumerate(tokens)
    )
    name = f"Layer {found['layer']}, head {found['head']}"
    rows = "".join(
        f"<li>{escape(token)} reads {most(tokens, weights[n])}</li>"
        for n, token in enumerate(tokens)
    )
    return (
        f"<p><strong>{name}</strong>: each row is a token, and shows where it reads.</p>"
        f'<div class="scroll-x" tabindex="0"><svg role="img" aria-label="Attention. {name}; in '
        f'words below" width="{side}" height="{side}" viewBox="0 0 {side} {side}">'
        f"{cells}{labels}</svg></div>"
        f"<details><summary>In words</summary><ul>{rows}</ul></details>"
    )


def most(tokens: list[str], weights: list[float]) -> str:
    """The three largest weights of a row."""
    order = sorted(range(len(tokens)), key=lambda j: -weights[j])[:3]
    return ", ".join(f"{escape(tokens[j])} {weights[j]:.0%}" for j in order if weights[j] >= 0.005)


def shown(token: str) -> str:
    """A token with its spaces and line ends visible."""
    return token.replace(" ", "·").replace("\n", "↵") or "∅"


PICTURE = Picture(
    "attention",
    "Your sentence goes through the model, and you see what one head of one layer looks at. Many "
    "heads look at the first token when they have nothing to look for.",
    (
        Text("text", "Sentence", "The cat sat on the mat because it was tired."),
        Slider("layer", "Layer", 5, 1, 30),
        Slider("head", "Head", 1, 1, 9),
    ),
    html,
)
