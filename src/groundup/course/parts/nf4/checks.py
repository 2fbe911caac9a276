"""Checks of `groundup.quantization.nf4`. Oracles: the paper's numbers, distances in float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import torch
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

EXACT = {"rtol": 0.0, "atol": 0.0}
# Dettmers et al. 2023, "QLoRA", appendix E.
PUBLISHED = torch.tensor([
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
    -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
    0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
])  # fmt: skip
BYTES = torch.tensor([
    0.0, 1.0,
    *(s * (0.1 + 0.9 * (k + 0.5) / 2**e) * 10.0 ** (e - 6)
      for e in range(7) for k in range(2**e) for s in (1, -1)),
]).sort().values  # fmt: skip


def place(x: Tensor, block: int) -> tuple[Tensor, Tensor]:
    """Each number over its block's largest magnitude, and the largest; float64."""
    exact = x.double().flatten()
    largest = [float(exact[i : i + block].abs().max()) for i in range(0, len(exact), block)]
    scale = torch.tensor(largest, dtype=torch.float64)
    spread = scale.repeat_interleave(block)[: len(exact)]
    return torch.where(spread > 0, exact / spread, 0), scale


def compare(q: object, x: Tensor, code: Tensor, what: str) -> None:
    """Each index is that of the nearest; where two are as near in float32, either."""
    distance = (x[:, None] - code.double()).abs()
    if not isinstance(q, Tensor) or q.shape != x.shape or q.dtype != torch.uint8:
        raise CheckFailure(f"{what} is {q}: expected {len(x)} indices, uint8")
    if max(q.tolist(), default=0) >= len(code):
        raise CheckFailure(f"{what} has the index {q.max()}: expected below {len(code)}")
    chosen = distance.gather(1, q.long()[:, None])[:, 0]
    assert_close(chosen, distance.amin(1), rtol=0, atol=1e-6, what=f"the distance of {what}")


def unpacked(packed: Tensor, count: int) -> Tensor:
    return torch.tensor(
        [h for byte in packed.tolist() for h in (byte // 16, byte % 16)][:count]
    ).byte()


def check_code(part: ModuleType) -> None:
    """nf4_code: the sixteen numbers that the paper prints"""
    assert_close(part.nf4_code(), PUBLISHED, rtol=0, atol=2e-7, what="the code")


def check_nearest(part: ModuleType) -> None:
    """nearest: indices of any code, blocks with scales of their own, the last one shorter"""
    code = torch.tensor([-1.0, -0.4, -0.1, 0.0, 0.3, 1.0])
    cases = [(torch.randn(70) * 10.0 ** torch.arange(7).repeat_interleave(10), 10),
             (torch.randn(23), 8), (torch.randn(5), 64)]  # fmt: skip
    expected = [place(*case) for case in cases]
    for (x, block), (scaled, scale) in zip(cases, expected, strict=True):
        q, got = part.nearest(x, code, block)
        what = f"{len(x)} numbers in blocks of {block}"
        assert_close(got, scale.float(), rtol=1e-6, atol=0, what=f"the scales of {what}")
        compare(q, scaled, code, f"the indices of {what}")


def check_nearest_of_zeros(part: ModuleType) -> None:
    """nearest: a block of zeros has the scale zero and indices of zero"""
    code = torch.tensor([-1.0, 0.0, 0.5, 1.0])
    q, scale = part.nearest(torch.tensor([0.0, 0.0, 2.0, -2.0]), code, 2)
    assert_close(scale, torch.tensor([0.0, 2.0]), what="the scales", **EXACT)
    assert_close(q, torch.tensor([1, 1, 3, 0], dtype=torch.uint8), what="the indices", **EXACT)


def check_looked_up(part: ModuleType) -> None:
    """looked_up: the code's numbers times their blocks' scales"""
    code, q = torch.tensor([-1.0, 0.25, 1.0]), torch.tensor([0, 1, 2, 1, 0], dtype=torch.uint8)
    expected = torch.tensor([-2.0, 0.5, 2.0, 0.75, -3.0])
    got = part.looked_up(q, code, torch.tensor([2.0, 3.0]), 3)
    assert_close(got, expected, rtol=1e-6, atol=0, what="the numbers")


def check_packed(part: ModuleType) -> None:
    """Nf4.of: two indices in a byte, the first in the high half; blocks of 64"""
    cases = [torch.randn(300), torch.randn(3, 128) * torch.tensor([[1.0], [50.0], [0.01]]),
             torch.randn(5, 13)]  # fmt: skip
    expected = [place(x, 64) for x in cases]
    for x, (scaled, scale) in zip(cases, expected, strict=True):
        made, n = part.Nf4.of(x, double=False), x.numel()
        what = f"a tensor of shape {tuple(x.shape)}"
        assert_close(made.scales, scale.float(), rtol=1e-6, atol=0, what=f"the scales of {what}")
        form = (tuple(made.packed.shape), str(made.packed.dtype))
        assert_equal(form, ((-(-n // 2),), "torch.uint8"), f"shape and dtype of {what}, packed")
        compare(unpacked(made.packed, n), scaled, PUBLISHED, f"the indices of {what}")
        if n % 2:
            assert_equal(int(made.packed[-1]) % 16, 7, "the half that is left over")


def check_there_and_back(part: ModuleType) -> None:
    """Nf4.dequantize: shape and dtype as they were, each number times its block's scale"""
    cases = [torch.randn(7, 64), torch.randn(2, 3, 11).bfloat16(), torch.tensor([[2.0]])]
    places = [place(x, 64) for x in cases]
    for x, (scaled, scale) in zip(cases, places, strict=True):
        nearest = PUBLISHED.double()[(scaled[:, None] - PUBLISHED.double()).abs().argmin(1)]
        want = nearest * scale.repeat_interleave(64)[: x.numel()]
        got = part.Nf4.of(x, double=False).dequantize()
        what = f"a tensor of shape {tuple(x.shape)} and back"
        assert_close(got, want.view(x.shape).to(x.dtype), rtol=1e-2, atol=1e-6, what=what)


def check_double(part: ModuleType) -> None:
    """QuantizedScales: about their mean, in blocks of 256, by the dynamic code"""
    scales = 2 + torch.rand(300)
    scales[256:] *= 3
    mean = scales.double().mean()
    scaled, scale = place(scales.double() - mean, 256)
    nearest = BYTES.double()[(scaled[:, None] - BYTES.double()).abs().argmin(1)]
    expected = (nearest * scale.repeat_interleave(256)[:300] + mean).float()
    made = part.QuantizedScales.of(scales)
    assert_close(made.mean, mean.float(), rtol=1e-6, atol=0, what="the mean")
    assert_close(made.scale, scale.float(), rtol=1e-5, atol=0, what="the scales' scales")
    compare(made.q, scaled, BYTES, "the scales")
    assert_close(made.dequantize(), expected, rtol=1e-5, atol=0, what="the scales and back")


def check_default_is_double(part: ModuleType) -> None:
    """Nf4: scales are in 8 bits unless that is switched off, and the bits are counted"""
    x = torch.randn(256, 256)
    blocks = x.view(-1, 64).abs().amax(1)
    double, single = part.Nf4.of(x), part.Nf4.of(x, double=False)
    assert_equal(type(double.scales).__name__, "QuantizedScales", "the type of the scales")
    assert_equal((round(single.bits, 4), round(double.bits, 4)), (4.5, 4.1274), "bits for each")
    assert_close(double.scales.dequantize(), blocks, rtol=0.02, atol=0, what="the scales")
    assert_close(double.dequantize(), single.dequantize(), rtol=0.02, atol=0, what="the tensor")


def check_published_error(part: ModuleType) -> None:
    """The mean absolute error on normal numbers, 0.073"""
    x = torch.randn(1 << 16)
    want = torch.tensor(0.0728)
    error = (part.Nf4.of(x, double=False).dequantize() - x).abs().mean()
    assert_close(error, want, rtol=0, atol=6e-4, what="the mean error")


def check_bad_input(part: ModuleType) -> None:
    """An empty tensor, NaN and infinity raise ValueError"""
    assert_raises(ValueError, lambda: part.Nf4.of(torch.empty(0, 4)), "the tensor is empty")
    for bad in (float("nan"), float("-inf")):
        x = torch.ones(70)
        x[66] = bad
        assert_raises(ValueError, partial(part.Nf4.of, x), f"it holds {bad}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a square weight of this size, there and back."""
    weight = torch.randn(size, size)
    return lambda: part.Nf4.of(weight).dequantize()


SIZE = 512
