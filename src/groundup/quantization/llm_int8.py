"""Products of 8-bit integers that leave the few large columns of the inputs out of it."""

from dataclasses import dataclass

import torch
from torch import Tensor

from groundup.quantization.absmax import absmax_quantize

__all__ = ["LlmInt8Matrix", "integer_product"]

OUTLIER = 6.0  # magnitude of an input from which on its column is multiplied in floats


@dataclass(frozen=True)
class LlmInt8Matrix:
    """``x @ weight.T`` in 8 bits, except for columns of x with outliers.

    Transformers beyond some billions of parameters have a few columns whose values are tens of
    times the others'. One such value in a row makes the row's scale so coarse that all others round
    to nothing. Those columns (a thousandth of all) are multiplied as floats; the rest as integers,
    whose products are exact: only the rounding of both factors is lost.

    The weight is kept as `absmax_quantize` gives it, also for the columns that are multiplied as
    floats. Which columns those are, each call sees from its inputs: all that hold a magnitude of
    the threshold or more, in any row. The others' rows are quantised with zeros in their place.

    Source: Dettmers et al. 2022, "LLM.int8()", section 3.2, equation 8.
    """

    q: Tensor  # (outputs, inputs) int8
    scale: Tensor  # (outputs, 1) float32
    threshold: float = OUTLIER

    @classmethod
    def of(cls, weight: Tensor, threshold: float = OUTLIER) -> "LlmInt8Matrix":
        """Quantise a weight (outputs, inputs). ``threshold`` inf: plain 8-bit products.

        Raises:
            ValueError: the weight holds NaN or infinity, or the threshold is not positive.
        """
        if not threshold > 0:
            raise ValueError(f"threshold must be positive, got {threshold}")
        return cls(*absmax_quantize(weight), threshold)

    def __call__(self, x: Tensor) -> Tensor:
        """Multiply ``x`` (..., inputs); returns (..., outputs) in its dtype.

        Raises:
            ValueError: x has another number of columns, or holds NaN or infinity.
        """
        outputs, inputs = self.q.shape
        if x.shape[-1] != inputs:
            raise ValueError(f"x has {x.shape[-1]} columns, the weight {inputs}")
        rows = x.reshape(-1, inputs).float()  # (N, inputs)
        large = (rows.abs() >= self.threshold).any(0)
        q, scale = absmax_quantize(rows.masked_fill(large, 0))
        product = integer_product(q, self.q).float() * scale * self.scale.T
        if large.any():
            product += rows[:, large] @ (self.q[:, large] * self.scale).T
        return product.reshape(*x.shape[:-1], outputs).to(x.dtype)


def integer_product(x: Tensor, weight: Tensor) -> Tensor:
    """``x @ weight.T`` of int8 (N, K) and (M, K), summed exactly in int32 (N, M).

    ``torch._int_mm`` multiplies int8 matrices; on a GPU it wants more than 16 rows.
    """
    if x.shape[0] > 16 or x.device.type == "cpu":  # a GPU wants more than 16 rows
        return torch._int_mm(x, weight.T)
    return torch._int_mm(torch.cat([x, x.new_zeros(17 - len(x), x.shape[1])]), weight.T)[: len(x)]
