"""Checks of `groundup.scratch.kaiming`. Oracles: torch's init, statistics of many draws."""

import math
from collections.abc import Callable
from functools import partial
from types import ModuleType

import numpy as np
import torch

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import Array

DRAWS = ("kaiming_normal", "kaiming_uniform")
SHAPES = [(200, 300), (300, 200), (40, 30, 5, 7), (50, 60, 9)]


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def near(value: float, want: float, error: float, what: str) -> None:
    """Within six of its standard errors: of a billion right solutions, two would fail."""
    if not abs(value - want) <= 6 * error:
        raise CheckFailure(f"{what} is {value:.5g}: expected {want:.5g}, give or take {error:.2g}")


def check_fan_in(part: ModuleType) -> None:
    """The number of inputs that an output sums up"""
    shapes = [(10, 20), (20, 10), (8, 3, 5, 7), (1, 1), (6, 4, 2)]
    expected = [torch.nn.init._calculate_correct_fan(torch.empty(s), "fan_in") for s in shapes]
    for shape, want in zip(shapes, expected, strict=True):
        assert_equal(part.fan_in(shape), want, f"fan_in of {shape}")


def check_shape_and_dtype(part: ModuleType) -> None:
    """float32 arrays of the shape asked for"""
    for name in DRAWS:
        for shape in SHAPES:
            drawn = getattr(part, name)(shape, generator())
            if type(drawn) is not np.ndarray:
                raise CheckFailure(f"{name} gives a {type(drawn).__name__}: expected an array")
            assert_equal((drawn.shape, str(drawn.dtype)), (shape, "float32"), f"shape and dtype "
                         f"of {name}{shape}")  # fmt: skip


def check_mean_and_deviation(part: ModuleType) -> None:
    """Mean 0 and standard deviation sqrt(2 / fan_in)"""
    for name in DRAWS:
        for shape in SHAPES:
            _statistics(getattr(part, name)(shape, generator()), shape, math.sqrt(2), name)


def check_gain(part: ModuleType) -> None:
    """Another gain scales them all"""
    for name in DRAWS:
        for gain in (1.0, 5 / 3, 0.1):
            drawn = getattr(part, name)((200, 300), generator(), gain)
            _statistics(drawn, (200, 300), gain, f"{name} for gain {gain:.3g}")


def _statistics(drawn: Array, shape: tuple[int, ...], gain: float, name: str) -> None:
    n, deviation = math.prod(shape), gain / math.sqrt(math.prod(shape[1:]))
    values = drawn.astype(float)
    near(values.mean(), 0.0, deviation / math.sqrt(n), f"the mean of {name}{shape}")
    what = f"the standard deviation of {name}{shape}"
    near(values.std(), deviation, deviation / math.sqrt(2 * n), what)


def check_normal(part: ModuleType) -> None:
    """kaiming_normal is normal: 68.3 % within one deviation, 95.4 % within two, some beyond four"""
    drawn = part.kaiming_normal((500, 400), generator()).astype(float) / math.sqrt(2 / 400)
    n = drawn.size
    for width, share in ((1, 0.6826895), (2, 0.9544997), (3, 0.9973002)):
        within = float((abs(drawn) < width).mean())
        near(within, share, math.sqrt(share * (1 - share) / n), f"the share within {width} "
             "deviations of kaiming_normal")  # fmt: skip
    if abs(drawn).max() < 4:
        raise CheckFailure("no value of kaiming_normal in 200,000 lies beyond 4 deviations: is it "
                           "truncated?")  # fmt: skip


def check_uniform(part: ModuleType) -> None:
    """kaiming_uniform is uniform: within its bounds, and as dense everywhere"""
    drawn = part.kaiming_uniform((500, 400), generator()).astype(float) / math.sqrt(2 / 400)
    bound = math.sqrt(3)
    if abs(drawn).max() > bound * (1 + 1e-6):
        raise CheckFailure(f"a value of kaiming_uniform lies at {abs(drawn).max():.4f} deviations: "
                           f"expected at most sqrt(3) = {bound:.4f}")  # fmt: skip
    counts, _ = np.histogram(drawn, bins=10, range=(-bound, bound))
    for part_of_ten, count in enumerate(counts):
        near(count / drawn.size, 0.1, math.sqrt(0.09 / drawn.size), f"the share in tenth "
             f"{part_of_ten + 1} of kaiming_uniform's range")  # fmt: skip


def check_generator(part: ModuleType) -> None:
    """Equal generators give equal weights, others others; each weight is its own"""
    for name in DRAWS:
        draw = getattr(part, name)
        rng = generator(1)
        first, again, other, next_one = (
            draw((20, 30), g) for g in (generator(1), rng, generator(2), rng)
        )
        assert_equal(bool((first == again).all()), True, f"that equal generators give equal {name}")
        assert_equal(bool((first == other).any()), False, f"that others give equal {name}")
        assert_equal(bool((again == next_one).any()), False, f"that the next {name} is equal")
        assert_equal(len(np.unique(first)) > 590, True, f"that 600 values of {name} differ")


def check_depth(part: ModuleType) -> None:
    """Through 20 layers with ReLU the mean square stays"""
    rng = generator(3)
    for name in DRAWS:
        x = rng.standard_normal((200, 500))
        for _ in range(20):
            x = np.maximum(x @ getattr(part, name)((500, 500), rng).T.astype(float), 0)
        size = float((x**2).mean())
        # The weights' own chance multiplies it by about 1.1 or 1 / 1.1 at each layer.
        if not 0.05 < size < 20:
            raise CheckFailure(f"with {name}, 20 layers multiply the mean square by {size:.3g}: "
                               "expected about 1")  # fmt: skip


def check_bad_input(part: ModuleType) -> None:
    """Shapes that are no weight's, and a gain that is not positive, raise ValueError"""
    for shape in ((5,), (), (5, 0), (0, 5), (5, -1)):
        assert_raises(ValueError, partial(part.fan_in, shape), f"fan_in gets {shape}")
        for name in DRAWS:
            call = partial(getattr(part, name), shape, generator())
            assert_raises(ValueError, call, f"{name} gets {shape}")
    for name in DRAWS:
        draw = getattr(part, name)
        for gain in (0.0, -1.0, float("nan")):
            call = partial(draw, (2, 2), generator(), gain)
            assert_raises(ValueError, call, f"{name} gets the gain {gain}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a weight of ``size`` by 1,000."""
    return lambda: part.kaiming_normal((size, 1000), generator())


SIZE = 100
