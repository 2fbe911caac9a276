"""NormalFloat: 16 numbers that share out normally distributed weights evenly."""

from dataclasses import dataclass, field
from functools import cache

import torch
from torch import Tensor

from groundup.quantization.dynamic_code import dynamic_code

__all__ = ["Nf4", "QuantizedScales", "looked_up", "nearest", "nf4_code"]

BLOCK = 64  # weights that share a scale
SCALE_BLOCK = 256  # scales that share one of their own
ZERO = 7  # the index of 0 in the code
OFFSET = 0.9677083  # quantile of the largest number: the mean of 1 - 1 / 30 and 1 - 1 / 32


@cache
def nf4_code() -> Tensor:
    """The 16 numbers of NF4, from -1 to 1, ascending, float32.

    Weights are nearly normally distributed. Numbers at evenly spaced quantiles of the normal
    distribution are each chosen about equally often, so that none of the 4 bits is wasted. Eight
    are spaced over the positive half and seven over the negative one, so that one is zero itself:
    the normal distribution's quantiles at eight of nine evenly spaced probabilities from `OFFSET`
    to 0.5, without 0.5; the same with seven of eight, negated; and zero. All are divided by the
    largest.

    Source: Dettmers et al. 2023, "QLoRA", section 3 (4-bit NormalFloat) and appendix E.
    """

    def quantiles(count: int) -> Tensor:
        # Rounded to float32 where the authors' are: these are the numbers that others store.
        p = torch.linspace(OFFSET, 0.5, count + 1, dtype=torch.float32)[:-1]
        q: Tensor = torch.special.ndtri(p.double())
        return q.float()

    code = torch.cat([quantiles(8), torch.zeros(1), -quantiles(7)]).sort().values
    return code / code.max()


@dataclass(frozen=True)
class QuantizedScales:
    """Scales in 8 bits: NF4's scales cost half a bit a weight in float32, and an eighth here.

    Source: Dettmers et al. 2023, "QLoRA", section 3 (double quantisation).
    """

    q: Tensor  # (n,) uint8, indices of `dynamic_code`
    scale: Tensor  # (blocks,) float32, one for 256 of them
    mean: Tensor  # () float32, of all; what is quantised is symmetric about it

    @classmethod
    def of(cls, scales: Tensor) -> "QuantizedScales":
        """Quantise scales (n,) float32: their mean is taken off, then `nearest` by 256 of them."""
        mean = scales.mean()
        q, scale = nearest(scales - mean, dynamic_code(), SCALE_BLOCK)
        return cls(q, scale, mean)

    def dequantize(self) -> Tensor:
        """The scales (n,), float32."""
        return looked_up(self.q, dynamic_code(), self.scale, SCALE_BLOCK) + self.mean


@dataclass(frozen=True)
class Nf4:
    """A tensor in 4 bits a weight: indices of `nf4_code`, and a scale for each 64 of them."""

    packed: Tensor  # (ceil(n / 2),) uint8; the first of each two in the high half
    scales: Tensor | QuantizedScales  # (ceil(n / 64),) float32, the largest magnitudes
    shape: torch.Size
    dtype: torch.dtype = field(default=torch.float32)

    @classmethod
    def of(cls, x: Tensor, *, double: bool = True) -> "Nf4":
        """Quantise a tensor; ``double`` quantises its scales as well.

        Its numbers are taken in their order, 64 to a scale, in float32. Where they are odd in
        number, the last byte's low half is `ZERO`.

        Raises:
            ValueError: it is empty, or holds NaN or infinity.
        """
        if not x.numel():
            raise ValueError(f"cannot quantise an empty tensor of shape {tuple(x.shape)}")
        if not x.isfinite().all():
            raise ValueError("cannot quantise NaN or infinity: look for the layer that made it")
        q, scales = nearest(x.float().flatten(), nf4_code(), BLOCK)
        if len(q) % 2:
            q = torch.cat([q, q.new_full((1,), ZERO)])
        packed = q[::2] << 4 | q[1::2]
        return cls(packed, QuantizedScales.of(scales) if double else scales, x.shape, x.dtype)

    def dequantize(self) -> Tensor:
        """The tensor, of the shape and dtype that it had."""
        scales = self.scales
        if isinstance(scales, QuantizedScales):
            scales = scales.dequantize()
        q = torch.stack([self.packed >> 4, self.packed & 15], 1).flatten()[: self.shape.numel()]
        return looked_up(q, nf4_code(), scales, BLOCK).view(self.shape).to(self.dtype)

    @property
    def bits(self) -> float:
        """Stored bits for each weight, all that has to be kept counted."""
        tensors = [self.packed]
        if isinstance(self.scales, QuantizedScales):
            tensors += [self.scales.q, self.scales.scale, self.scales.mean]
        else:
            tensors.append(self.scales)
        return 8 * sum(t.numel() * t.element_size() for t in tensors) / self.shape.numel()


def nearest(x: Tensor, code: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Each number's nearest in an ascending code, after division by its block's largest magnitude.

    Args:
        x: (n,) float32.
        code: (m,), m at most 256.
        block: numbers that share a scale; the last block may have fewer.

    Returns:
        Indices (n,) uint8, and scales (ceil(n / block),) float32: zero for a block of zeros, whose
        indices are those of the code's number nearest to zero.
    """
    n = len(x)
    blocks = torch.nn.functional.pad(x, (0, -n % block)).view(-1, block)
    scale = blocks.abs().amax(1)
    # By the reciprocal, as others do: a division would put some numbers on the other side of a tie.
    inverse = torch.where(scale > 0, 1 / scale, 0)
    edges = (code[:-1] + code[1:]) / 2
    q = torch.bucketize(blocks * inverse[:, None], edges, right=False)
    return q.flatten()[:n].to(torch.uint8), scale


def looked_up(q: Tensor, code: Tensor, scale: Tensor, block: int) -> Tensor:
    """What `nearest` took apart, (n,) float32: each code's number times its block's scale."""
    return code[q.long()] * scale.repeat_interleave(block)[: len(q)]
