"""T5's positions: a learned bias of the scores for each bucket of distances."""

import math

import torch
from torch import Tensor, nn

__all__ = ["RelativePositionBias", "relative_position_bucket"]


def relative_position_bucket(
    distance: Tensor, *, bidirectional: bool, buckets: int = 32, max_distance: int = 128
) -> Tensor:
    """The bucket of each distance between a key and a query.

    Near distances have a bucket each, far ones share one with their like, ever more of them: of
    ``n`` buckets, the first ``n // 2`` are for the distances 0, 1, 2 ..., and a larger distance d
    falls into

        n // 2 + floor(log(d / (n // 2)) / log(max_distance / (n // 2)) * (n - n // 2))

    of which none is above n - 1: all distances from ``max_distance`` on share the last.

    Args:
        distance: integers of any shape: the key's position less the query's.
        bidirectional: True, in an encoder: n is ``buckets // 2``, and keys after the query (a
            positive distance) have the upper half of the buckets, those before it the lower half.
            False, in a decoder: n is ``buckets``, and keys after the query count as distance 0.
        buckets: how many there are.
        max_distance: see above; more than half of n.

    Returns:
        int64, of the shape of ``distance``, each from 0 to ``buckets - 1``. The logarithms are
        float32's, in which published models were trained.

    Source: Raffel et al. 2019, "Exploring the limits of transfer learning", section 2.1.
    """
    n = buckets // 2 if bidirectional else buckets
    exact = n // 2
    away = distance.abs() if bidirectional else (-distance).clamp(min=0)
    ratio = torch.log(away.float() / exact) / math.log(max_distance / exact)
    # At distance 0 the logarithm is minus infinity, which no integer is; it is not taken there.
    far = exact + (ratio.clamp(min=0) * (n - exact)).long()
    bucket = torch.where(away < exact, away, far.clamp(max=n - 1))
    return bucket + n * (distance > 0) if bidirectional else bucket


class RelativePositionBias(nn.Module):
    """One number for each bucket and head, added to the scores. All layers of a stack share it."""

    def __init__(
        self, heads: int, *, bidirectional: bool, buckets: int = 32, max_distance: int = 128
    ) -> None:
        """Make the table: ``self.embedding``, an ``nn.Embedding`` of ``buckets`` rows of H numbers.

        Args:
            heads: H.
            bidirectional, buckets, max_distance: as `relative_position_bucket` takes them.

        Raises:
            ValueError: heads is not positive, buckets is less than 4 (or, bidirectional, not an
                even number of at least 4), or max_distance is not more than the exact buckets.
        """
        super().__init__()
        exact = buckets // 4 if bidirectional else buckets // 2
        if heads <= 0:
            raise ValueError(f"heads must be positive, got {heads}")
        if buckets < 4 or (bidirectional and buckets % 2):
            raise ValueError(f"buckets must be even and at least 4, got {buckets}")
        if max_distance <= exact:
            raise ValueError(f"max_distance must be more than {exact}, got {max_distance}")
        self.bidirectional, self.buckets, self.max_distance = bidirectional, buckets, max_distance
        self.embedding = nn.Embedding(buckets, heads)

    def forward(self, queries: int, keys: int) -> Tensor:
        """The bias of every pair.

        Args:
            queries: T, which are the *last* T of the positions, as in generation with a cache.
            keys: S, at least T, whose positions are 0 ... S - 1.

        Returns:
            Shape (1, H, T, S), in the dtype of the table; gradients flow to it.
        """
        positions = torch.arange(keys, device=self.embedding.weight.device)
        distance = positions[None, :] - positions[keys - queries :, None]  # (T, S)
        bucket = relative_position_bucket(
            distance,
            bidirectional=self.bidirectional,
            buckets=self.buckets,
            max_distance=self.max_distance,
        )
        bias: Tensor = self.embedding(bucket)  # (T, S, H)
        return bias.permute(2, 0, 1)[None]
