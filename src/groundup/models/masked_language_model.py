"""BERT's objective: some tokens are hidden, and the model says what they were."""

import torch
from torch import Tensor

__all__ = ["mask_tokens"]

IGNORED = -100  # the label of positions that do not count, as `cross_entropy` takes it


def mask_tokens(
    ids: Tensor,
    *,
    mask_id: int,
    vocabulary: int,
    special: Tensor,
    rate: float = 0.15,
    generator: torch.Generator | None = None,
) -> tuple[Tensor, Tensor]:
    """Corrupt token ids, and say what is to be found again.

    Every token that is not special is chosen with the probability ``rate``, independently of the
    others. Of those that were chosen, independently again, 80 % become ``mask_id``, 10 % a token
    drawn uniformly from the whole vocabulary, and 10 % stay as they are. The model has to predict
    all that were chosen: also those that stayed, so that it cannot trust what it reads.

    Args:
        ids: token ids, of any shape, int64; not changed.
        mask_id: the id of the mask token.
        vocabulary: V; random tokens are 0 ... V - 1.
        special: bool, of the shape of ``ids``: True where a token must not be chosen, such as
            padding and the tokens that begin and end a text.
        rate: from 0 to 1.
        generator: of the draws; None is torch's own.

    Returns:
        ``corrupted, labels``, each of the shape of ``ids``, int64. Labels are the original ids
        where a token was chosen, and `IGNORED` everywhere else.

    Raises:
        ValueError: special is not bool or of another shape, the rate is not from 0 to 1, or
            ``mask_id`` is not 0 ... V - 1.

    Source: Devlin et al. 2018, "BERT", section 3.1, task 1.
    """
    if special.shape != ids.shape or special.dtype != torch.bool:
        raise ValueError(
            f"special must be bool and {tuple(ids.shape)}, got {special.dtype} and "
            f"{tuple(special.shape)}"
        )
    if not 0 <= rate <= 1:
        raise ValueError(f"the rate must be from 0 to 1, got {rate}")
    if not 0 <= mask_id < vocabulary:
        raise ValueError(f"mask_id must be from 0 to {vocabulary - 1}, got {mask_id}")

    def draw() -> Tensor:
        return torch.rand(ids.shape, generator=generator, device=ids.device)

    chosen = (draw() < rate) & ~special
    labels = ids.where(chosen, IGNORED)
    kind = draw()
    others = torch.randint(vocabulary, ids.shape, generator=generator, device=ids.device)
    corrupted = ids.where(~(chosen & (kind < 0.8)), mask_id)
    return corrupted.where(~(chosen & (kind >= 0.9)), others), labels
