"""Where a model looks: the weights of its attention, of every layer and head."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

from groundup.models.language_model import Attend
from groundup.models.llama import Attention, Llama

__all__ = ["read_with_attention"]


@torch.inference_mode()
def read_with_attention(model: Llama, ids: Tensor, shown: int) -> tuple[Tensor, Tensor]:
    """Read a text, and keep what its last tokens look at.

    Attention is ``weights @ v``: over an identity matrix in the place of the values it *is* the
    weights. So they come from the function that the model attends with, whichever that is.

    Args:
        model: of Llama's family.
        ids: token ids (T,).
        shown: how many of the last tokens to keep, n = min(shown, T).

    Returns:
        The last layer's normalised output (T, dim), and the weights (layers, heads, n, 1 + n):
        row i is the token T - n + i, column 1 + j the token T - n + j, and column 0 all those
        before them together. Rows add up to 1.
    """
    with recorded(model, min(shown, len(ids))) as maps:
        hidden = model.hidden(ids[None])[0]
    return hidden, torch.stack(maps)


@contextmanager
def recorded(model: Llama, shown: int) -> Iterator[list[Tensor]]:
    """Inside the block, each layer's attention adds its weights to the list, in their order."""
    maps: list[Tensor] = []
    layers = [module for module in model.modules() if isinstance(module, Attention)]
    own = [layer.attend for layer in layers]

    def recording(attend: Attend) -> Attend:
        def call(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
            maps.append(weights(attend, q, k, shown))
            return attend(q, k, v, causal=causal)

        return call

    try:
        for layer in layers:
            layer.attend = recording(layer.attend)
        yield maps
    finally:
        for layer, attend in zip(layers, own, strict=True):
            layer.attend = attend


def weights(attend: Attend, q: Tensor, k: Tensor, shown: int) -> Tensor:
    """(heads, shown, 1 + shown) of queries (1, H, T, D) and keys (1, H_kv, T, D)."""
    T, D = k.shape[2:]
    before = torch.arange(T) < T - shown
    columns = torch.cat([before[:, None], torch.eye(T, dtype=torch.bool)[:, T - shown :]], dim=1)
    columns = columns.to(k.device, k.dtype)  # (T, 1 + shown)
    pieces = []
    for start in range(0, 1 + shown, D):  # values have the keys' shape
        piece = columns[:, start : start + D]
        v = k.new_zeros(k.shape)
        v[..., : piece.shape[1]] = piece
        pieces.append(attend(q[:, :, -shown:], k, v)[0, ..., : piece.shape[1]])
    return torch.cat(pieces, dim=-1).float()
