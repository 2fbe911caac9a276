"""What temperature, top-k, top-p and min-p make of the model's next-token probabilities."""

from functools import lru_cache
from html import escape
from typing import TYPE_CHECKING, Any

from groundup.app.picture import Picture, Slider, Text

if TYPE_CHECKING:
    from torch import Tensor

    from groundup.models.load import LoadedModel

__all__ = ["PICTURE", "compute"]

TOKENS = 100
SHOWN = 14


@lru_cache(maxsize=8)
def logits_after(loaded: "LoadedModel", text: str) -> "Tensor":
    """The scores (V,) of the token after a text, in float32."""
    import torch

    ids = loaded.tokenizer.encode(text, special=False)
    if not 1 <= len(ids) <= TOKENS:
        raise ValueError(f"the text has {len(ids)} tokens: write 1 to {TOKENS}")
    with torch.inference_mode():
        device = next(loaded.model.parameters()).device
        hidden = loaded.model.hidden(torch.tensor([ids], device=device), outputs=1)
        return loaded.model.logits(hidden)[0, -1].float().cpu()


def compute(
    loaded: "LoadedModel", text: str, temperature: float, k: float, p: float, floor: float
) -> dict[str, Any]:
    """The most likely tokens: probability as the model says, and after the sliders.

    The order is the engine's: temperature, top-k, top-p, min-p.

    Raises:
        ValueError: the text has no token, or too many.
    """
    import torch

    from groundup.engine.sampling import min_p, top_k, top_p

    logits = logits_after(loaded, text)
    changed = min_p(top_p(top_k(logits / temperature, int(k)), p), floor)
    before, after = torch.softmax(logits, 0), torch.softmax(changed, 0)
    return {
        "tokens": [
            {"text": loaded.tokenizer.decode([id]), "before": float(before[id]),
             "after": float(after[id])}
            for id in before.topk(min(SHOWN, len(before))).indices.tolist()
        ],
        "kept": int((after > 0).sum()),
        "vocabulary": len(logits),
    }  # fmt: skip


def html(found: dict[str, Any]) -> str:
    """Two bars for each token."""
    rows = "".join(
        f"<tr><th scope='row'>{escape(token['text'].replace(' ', '·').replace(chr(10), '↵'))}</th>"
        f"<td class='bars' aria-hidden='true'><i style='width: {100 * token['before']:.2f}%'></i>"
        f"<i class='after' style='width: {100 * token['after']:.2f}%'></i></td>"
        f"<td class='number'>{token['before']:.1%}</td><td class='number'>{token['after']:.1%}</td>"
        "</tr>"
        for token in found["tokens"]
    )
    return (
        f"<p><strong>{found['kept']:,} of {found['vocabulary']:,} tokens</strong> can be drawn.</p>"
        "<table class='table bars-table'><thead><tr><th scope='col'>Token</th><td></td>"
        "<th scope='col' class='number'>Model</th><th scope='col' class='number'>Now</th></tr>"
        f"</thead><tbody>{rows}</tbody></table>"
    )


PICTURE = Picture(
    "sampling",
    "The model's probabilities for the token after your text, and what is left of them.",
    (
        Text("text", "Text", "The capital of France is"),
        Slider("temperature", "Temperature", 1.0, 0.05, 2.0, 0.05),
        Slider("k", "Top-k", 200, 1, 200),
        Slider("p", "Top-p", 1.0, 0.05, 1.0, 0.01),
        Slider("floor", "Min-p", 0.0, 0.0, 1.0, 0.01),
    ),
    html,
)
