"""Checks of `groundup.quantization.gptq`. Oracle: optimal brain quantisation in NumPy's float64."""

from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

Array = NDArray[np.float64]


def grid(groups: Array) -> tuple[Array, Array]:
    minimum = groups.min(-1).astype(np.float16).astype(np.float64)
    scale = np.maximum((groups.max(-1) - minimum) / 15, 1e-7).astype(np.float16)
    return scale.astype(np.float64), minimum


def nearest(w: Array, scale: Array, minimum: Array) -> Array:
    levels: Array = np.rint((w - minimum) / scale).clip(0, 15) * scale + minimum
    return levels


def damped(hessian: Tensor, damping: float) -> Array:
    h: Array = hessian.double().numpy().copy()
    unused = np.diag(h) == 0
    h[unused, unused] = 1
    made: Array = h + damping * np.diag(h).mean() * np.eye(len(h))
    return made


def oracle(weight: Tensor, hessian: Tensor, group: int, damping: float = 0.01) -> Tensor:
    """Column by column; the inverse of what is left is had by elimination, without Cholesky.

    Frantar and Alistarh 2022, "Optimal brain compression", equations 3 and 4.
    """
    w = weight.double().numpy().copy()
    diagonal = np.diag(hessian.numpy())
    w[:, diagonal == 0] = 0
    inverse = np.linalg.inv(damped(hessian, damping))
    levels = [grid(w[:, at : at + group]) for at in range(0, w.shape[1], group)]
    out = np.empty_like(w)
    for i in np.argsort(-diagonal, kind="stable"):
        out[:, i] = nearest(w[:, i], *levels[i // group])
        w -= np.outer((w[:, i] - out[:, i]) / inverse[i, i], inverse[i])
        inverse = inverse - np.outer(inverse[:, i], inverse[i]) / inverse[i, i]
    return torch.from_numpy(out).float()


def rounded(weight: Tensor, group: int) -> Tensor:
    """Each weight to its nearest."""
    w = weight.double().numpy().reshape(len(weight), -1, group)
    scale, minimum = grid(w)
    levels = nearest(w, scale[..., None], minimum[..., None])
    return torch.from_numpy(levels.reshape(weight.shape)).float()


def inputs(rows: int, columns: int) -> Tensor:
    """Inputs that depend on each other and differ in size, as a model's do."""
    mixed = torch.randn(rows, columns // 2) @ torch.randn(columns // 2, columns)
    return mixed * 10 ** torch.randn(columns).clamp(-1, 1)


def compare(got: object, expected: Tensor, what: str) -> None:
    """Rows agree; a weight between two levels may fall to the other side, and its row go on so."""
    matrix = getattr(got, "dequantize", lambda: None)()
    if not isinstance(matrix, Tensor) or matrix.shape != expected.shape:
        raise CheckFailure(f"{what} is {got!r:.80}: expected a GroupedInt4 like {expected.shape}")
    near = ((matrix - expected).abs() <= 1e-5 * (1 + expected.abs())).all(1)
    if near.double().mean() < 0.75:
        wrong = near.logical_not().nonzero()[:, 0].tolist()
        what = f"row {wrong[0]} of {what} (of {len(near)} rows {len(wrong)} differ)"
        assert_close(matrix[wrong[0]], expected[wrong[0]], rtol=1e-5, atol=1e-5, what=what)


def check_inverse_factor(part: ModuleType) -> None:
    """inverse_factor: upper triangular, and its square the damped Hessian's inverse"""
    x = inputs(50, 12)
    hessian, unused = x.T @ x, torch.zeros(12, dtype=torch.bool)
    hessian[4], hessian[:, 4], unused[4] = 0, 0, True
    for damping in (0.01, 0.3):
        expected = torch.from_numpy(damped(hessian, damping))
        upper = part.inverse_factor(hessian, unused, damping)
        assert_equal(str(upper.dtype), "torch.float32", "the dtype of U")
        below = upper.tril(-1)
        assert_close(below, torch.zeros(12, 12), rtol=0, atol=0, what="U under its diagonal")
        whole = upper.double().T @ upper.double() @ expected
        unit = torch.eye(12, dtype=torch.float64)
        assert_close(whole, unit, rtol=0, atol=2e-2, what="U.T @ U times the damped Hessian")


def check_one_group(part: ModuleType) -> None:
    """One group: columns of large inputs come first, and the others make good their errors"""
    weight, x = torch.randn(8, 16), inputs(60, 16)
    hessian = x.T @ x
    expected = oracle(weight, hessian, 16)
    compare(part.gptq(weight, hessian, group=16), expected, "the weight")


def check_groups(part: ModuleType) -> None:
    """Several groups: their levels are chosen beforehand, from the weights as they came"""
    weight, x = torch.randn(8, 64), inputs(150, 64)
    hessian = x.T @ x
    for group in (16, 32):
        expected = oracle(weight, hessian, group)
        compare(part.gptq(weight, hessian, group=group), expected, f"groups of {group}")


def check_many_columns(part: ModuleType) -> None:
    """More columns than one block: what a block puts off reaches all behind it"""
    weight, x = torch.randn(6, 192), inputs(400, 192)
    hessian = x.T @ x
    expected = oracle(weight, hessian, 32)
    compare(part.gptq(weight, hessian), expected, "192 columns in groups of 32")


def check_independent_inputs(part: ModuleType) -> None:
    """Inputs that do not depend on each other: nothing to make good, so plain rounding"""
    weight = torch.randn(5, 64)
    hessian = torch.diag(torch.rand(64) + 0.5)
    expected = rounded(weight, 32)
    compare(part.gptq(weight, hessian), expected, "the weight with a diagonal Hessian")


def check_outputs(part: ModuleType) -> None:
    """The outputs change less than by plain rounding"""
    weight, x = torch.randn(24, 96), inputs(300, 96)
    plain = ((rounded(weight, 32) - weight) @ x.T).square().mean()
    made = part.gptq(weight, x.T @ x).dequantize()
    ratio = float(((made - weight) @ x.T).square().mean() / plain)
    if not ratio < 0.7:
        raise CheckFailure(f"the outputs' squared error is {ratio:.2f} of plain rounding's: "
                           "expected less than 0.7")  # fmt: skip


def check_unused_inputs(part: ModuleType) -> None:
    """Weights of inputs that were always zero become zero, and disturb nothing"""
    weight, x = torch.randn(8, 32), inputs(80, 32)
    x[:, [3, 20]] = 0
    weight[:, 20] *= 30
    hessian = x.T @ x
    expected = oracle(weight, hessian, 16)
    compare(part.gptq(weight, hessian, group=16), expected, "a weight with unused inputs")


def check_damping(part: ModuleType) -> None:
    """More damping: less is made good; it makes an inverse where there is none"""
    weight, x = torch.randn(8, 16), inputs(60, 16)
    cases = [(x.T @ x, 1.0), (torch.ones(16, 16), 0.1)]
    expected = [oracle(weight, hessian, 16, damping) for hessian, damping in cases]
    for (hessian, damping), want in zip(cases, expected, strict=True):
        got = part.gptq(weight, hessian, group=16, damping=damping)
        compare(got, want, f"the weight with damping {damping}")


def check_other_grid(part: ModuleType) -> None:
    """Another grid is asked once, for all groups, and its levels are taken"""
    weight, x = torch.randn(4, 32), inputs(80, 32)
    asked: list[tuple[int, ...]] = []

    def levels(groups: Tensor) -> tuple[Tensor, Tensor]:
        asked.append(tuple(groups.shape))
        return torch.full(groups.shape[:-1], 0.5), torch.full(groups.shape[:-1], -4.0)

    made = part.gptq(weight, x.T @ x, group=16, grid=levels).dequantize()
    assert_equal(asked, [(4, 2, 16)], "the shapes of the groups that the grid was asked for")
    assert_close(
        (made * 2).round() / 2, made, rtol=0, atol=1e-6, what="the weight, in steps of 0.5,"
    )


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit, a row that is not whole groups, and no Hessian raise ValueError"""
    weight = torch.randn(4, 64)
    cases: dict[str, Callable[[], object]] = {
        "the Hessian is (32, 32)": partial(part.gptq, weight, torch.eye(32)),
        "K is 64 and the group 48": partial(part.gptq, weight, torch.eye(64), group=48),
        "the Hessian is negative": partial(part.gptq, weight, -torch.eye(64)),
        "the Hessian holds NaN": partial(part.gptq, weight, torch.full((64, 64), float("nan"))),
    }
    for when, call in cases.items():
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a square weight of this size."""
    weight, x = torch.randn(size, size), inputs(2 * size, size)
    hessian = x.T @ x
    return lambda: part.gptq(weight, hessian)


SIZE = 256
