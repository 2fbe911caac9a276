"""Checks of `groundup.training.gradient_clipping`. Oracle: NumPy in float64, torch's own."""

from collections.abc import Callable, Sequence
from functools import partial
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

SHAPES = ((3, 4), (5,), (2, 2, 2), ())


def parameters(scale: float = 1.0, dtype: torch.dtype = torch.float32) -> tuple[nn.Parameter, ...]:
    """With gradients of several shapes, one of them without any."""
    made = []
    for shape in SHAPES:
        parameter = nn.Parameter(torch.randn(shape).to(dtype))
        parameter.grad = (scale * torch.randn(shape)).to(dtype)
        made.append(parameter)
    return (*made, nn.Parameter(torch.randn(2)))


def gradients(made: Sequence[nn.Parameter]) -> list[Tensor]:
    return [p.grad for p in made if p.grad is not None]


def norm_of(tensors: Sequence[Tensor]) -> float:
    flat = np.concatenate([t.double().numpy().reshape(-1) for t in tensors])
    return float(np.sqrt(np.sum(flat**2)))


def number(value: object, what: str) -> Tensor:
    if not isinstance(value, float):
        raise CheckFailure(f"{what} is of type {type(value).__name__}: expected a float")
    return torch.tensor(value, dtype=torch.float64)


def wide(value: float) -> Tensor:
    return torch.tensor(value, dtype=torch.float64)


def check_norm(part: ModuleType) -> None:
    """The norm is that of all gradients as one vector, before clipping"""
    for scale in (1e-3, 1.0, 50.0):
        made = parameters(scale)
        expected = wide(norm_of(gradients(made)))
        got = number(part.clip_gradients(made, 1.0), "the norm")
        assert_close(got, expected, rtol=1e-5, atol=0, what=f"the norm for gradients of {scale}")


def check_clipped(part: ModuleType) -> None:
    """Above the limit all gradients are scaled by one factor"""
    made = parameters(3.0)
    before = [g.clone() for g in gradients(made)]
    factor = 0.5 / norm_of(before)
    expected = [(g.double() * factor).float() for g in before]
    part.clip_gradients(made, 0.5)
    for i, (got, want) in enumerate(zip(gradients(made), expected, strict=True)):
        assert_close(got, want, rtol=1e-5, atol=1e-8, what=f"the gradient of parameter {i}")


def check_below_the_limit(part: ModuleType) -> None:
    """Up to the limit nothing changes, bit for bit"""
    made = parameters(1.0)
    before = [g.clone() for g in gradients(made)]
    limit = norm_of(before) * 1.0001
    part.clip_gradients(made, limit)
    for i, (got, want) in enumerate(zip(gradients(made), before, strict=True)):
        assert_close(got, want, rtol=0, atol=0, what=f"the gradient of parameter {i}")


def check_in_place(part: ModuleType) -> None:
    """The gradients' own tensors are scaled; parameters do not move"""
    made = parameters(3.0)
    held, values = gradients(made), [p.detach().clone() for p in made]
    factor = 1 / norm_of(held)
    expected = [(g.double() * factor).float() for g in held]
    part.clip_gradients(made, 1.0)
    for got, want in zip(held, expected, strict=True):
        assert_close(got, want, rtol=1e-5, atol=1e-8, what="a tensor that was the gradient")
    for parameter, value in zip(made, values, strict=True):
        assert_close(parameter.detach(), value, rtol=0, atol=0, what="a parameter")
    assert_equal(made[-1].grad is None, True, "that a parameter without a gradient still has none")


def check_any_iterable(part: ModuleType) -> None:
    """Parameters may come from a generator, as a model's do"""
    model = nn.Sequential(nn.Linear(3, 4), nn.Linear(4, 1))
    model(torch.randn(5, 3)).square().sum().backward()
    before = [g.clone() for g in gradients(list(model.parameters()))]
    expected = wide(norm_of(before))
    factor = 0.01 / norm_of(before)
    got = number(part.clip_gradients(model.parameters(), 0.01), "the norm")
    assert_close(got, expected, rtol=1e-5, atol=0, what="the norm")
    for now, was in zip(gradients(list(model.parameters())), before, strict=True):
        assert_close(now, was * factor, rtol=1e-4, atol=1e-8, what="a gradient")


def check_narrow_dtypes(part: ModuleType) -> None:
    """float16 gradients whose squares overflow, and bfloat16 ones by the thousand"""
    large = nn.Parameter(torch.zeros(64, dtype=torch.float16))
    large.grad = torch.full((64,), 1000.0, dtype=torch.float16)
    many = nn.Parameter(torch.zeros(10_000, dtype=torch.bfloat16))
    many.grad = torch.ones(10_000, dtype=torch.bfloat16)
    for name, parameter, expected in (("float16", large, 8000.0), ("bfloat16", many, 100.0)):
        got = number(part.clip_gradients((parameter,), 1.0), "the norm")
        assert_close(got, wide(expected), rtol=1e-3, atol=0, what=f"the norm of {name} gradients")
        assert parameter.grad is not None
        left = wide(norm_of([parameter.grad]))
        assert_close(left, wide(1.0), rtol=1e-2, atol=0, what=f"the {name} norm after clipping")


def check_not_finite(part: ModuleType) -> None:
    """A norm that is no number is told, and nothing is scaled by it"""
    for bad in (float("nan"), float("inf")):
        made = parameters(3.0)
        assert made[0].grad is not None
        made[0].grad[0, 0] = bad
        before = [g.clone() for g in gradients(made)]
        expected = wide(bad)
        got = number(part.clip_gradients(made, 1.0), "the norm")
        assert_close(got, expected, rtol=0, atol=0, what=f"the norm with a gradient of {bad}")
        for now, was in zip(gradients(made), before, strict=True):
            assert_close(now, was, rtol=0, atol=0, what=f"a gradient beside one of {bad}")


def check_zeros(part: ModuleType) -> None:
    """Gradients of zero stay zero; without gradients the norm is zero"""
    parameter = nn.Parameter(torch.ones(3))
    parameter.grad = torch.zeros(3)
    zero = wide(0.0)
    for made in ((parameter,), (nn.Parameter(torch.ones(3)),), ()):
        got = number(part.clip_gradients(made, 1.0), "the norm")
        assert_close(got, zero, rtol=0, atol=0, what="the norm")
    assert_close(parameter.grad, torch.zeros(3), rtol=0, atol=0, what="the gradient of zeros")


def check_infinite_limit(part: ModuleType) -> None:
    """An infinite limit measures and changes nothing"""
    made = parameters(100.0)
    before = [g.clone() for g in gradients(made)]
    expected = wide(norm_of(before))
    got = number(part.clip_gradients(made, float("inf")), "the norm")
    assert_close(got, expected, rtol=1e-5, atol=0, what="the norm")
    for now, was in zip(gradients(made), before, strict=True):
        assert_close(now, was, rtol=0, atol=0, what="a gradient")


def check_bad_limit(part: ModuleType) -> None:
    """A limit that is not positive raises ValueError"""
    made = parameters()
    for limit in (0.0, -1.0, float("nan")):
        call = partial(part.clip_gradients, made, limit)
        assert_raises(ValueError, call, f"limit is {limit}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` gradients of 100 by 100."""
    made = [nn.Parameter(torch.zeros(100, 100)) for _ in range(size)]
    for parameter in made:
        parameter.grad = torch.randn(100, 100)
    return lambda: part.clip_gradients(made, 1.0)


SIZE = 100
