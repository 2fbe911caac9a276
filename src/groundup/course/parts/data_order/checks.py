"""Checks of `groundup.training.data_order`. Oracle: what a shuffled order must be, by counting."""

from collections.abc import Callable
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from groundup.course.grader.compare import CheckFailure, assert_equal, assert_raises


def order(part: ModuleType, size: int, seed: int) -> NDArray[np.int64]:
    """All of an order, checked for its form."""
    return form(part.shuffled(np.arange(size), size, seed), (size,), f"the order of {size}")


def form(got: object, shape: tuple[int, ...], what: str) -> NDArray[np.int64]:
    if not isinstance(got, np.ndarray):
        raise CheckFailure(f"{what} is of type {type(got).__name__}: expected an array")
    assert_equal(str(got.dtype), "int64", f"the dtype of {what}")
    assert_equal(got.shape, shape, f"the shape of {what}")
    return got


def check_permutation(part: ModuleType) -> None:
    """Over all positions each number comes once, for sizes of every kind"""
    for size in (1, 2, 3, 5, 16, 17, 64, 100, 1000, 1025):
        for seed in (0, 7):
            found = sorted(order(part, size, seed).tolist())
            assert_equal(found, list(range(size)), f"the sorted order of {size} for seed {seed}")


def check_random_access(part: ModuleType) -> None:
    """A position's number does not depend on what is asked with it, or was before"""
    whole = order(part, 1000, 3).tolist()
    asked = np.array([[999, 0], [5, 5], [123, 500]])
    expected = [[whole[i] for i in row] for row in asked.tolist()]
    got = form(part.shuffled(asked, 1000, 3), (3, 2), "the answer for positions of shape (3, 2)")
    assert_equal(got.tolist(), expected, "the answer for positions of shape (3, 2)")
    one = [int(form(part.shuffled(np.array([i]), 1000, 3), (1,), "one")[0]) for i in range(20)]
    assert_equal(one, whole[:20], "the first twenty, asked one by one")


def check_no_positions(part: ModuleType) -> None:
    """No positions give no numbers"""
    form(part.shuffled(np.zeros(0, np.int64), 10, 0), (0,), "the answer for no positions")


def check_seeds(part: ModuleType) -> None:
    """Other seeds give other orders, also neighbours, negative and large ones"""
    seeds = [0, 1, 2, -1, -2, 10**12, 2**70]
    orders = [order(part, 1000, seed) for seed in seeds]
    for i, a in enumerate(orders):
        for j in range(i):
            same = int((a == orders[j]).sum())  # one is expected by chance
            if same > 12:
                raise CheckFailure(
                    f"the orders of seeds {seeds[j]} and {seeds[i]} agree at {same} of 1,000 "
                    "places: expected about one"
                )


def check_shuffled(part: ModuleType) -> None:
    """Neighbours are far apart, and nothing is left of the old order"""
    for size in (1000, 1024):
        found = np.concatenate([order(part, size, seed) for seed in range(10)])
        places = np.tile(np.arange(size), 10)
        correlation = float(np.corrcoef(found, places)[0, 1])
        if not abs(correlation) < 0.05:
            raise CheckFailure(f"the order of {size} has the correlation {correlation:.3f} with "
                               "the old one: expected about 0")  # fmt: skip
        steps = np.diff(found.reshape(10, size), axis=1)
        _, counts = np.unique(steps, return_counts=True)
        if counts.max() > 0.01 * steps.size:
            raise CheckFailure(f"of {steps.size:,} steps from one number to the next "
                               f"{counts.max():,} are equal: expected less than 1 %")  # fmt: skip


def check_every_place_is_as_likely(part: ModuleType) -> None:
    """Over many seeds, each number comes at each position about equally often"""
    size, seeds = 8, 800
    found = np.stack([order(part, size, seed) for seed in range(seeds)])
    table = np.stack([np.bincount(column, minlength=size) for column in found.T])
    expected = seeds / size
    statistic = float(((table - expected) ** 2 / expected).sum())
    # Chi-squared with 49 degrees of freedom: above 95 once in ten thousand.
    if statistic > 95:
        raise CheckFailure(f"the chi-squared statistic of {seeds} orders of {size} is "
                           f"{statistic:.0f}: expected about 49, below 95")  # fmt: skip


def check_same_everywhere(part: ModuleType) -> None:
    """The same again, and not by the global random numbers"""
    np.random.seed(1)
    first = order(part, 500, 11).tolist()
    np.random.seed(2)
    assert_equal(order(part, 500, 11).tolist(), first, "the order of 500, asked again")


def check_huge(part: ModuleType) -> None:
    """A size of 2 ** 62 takes no more memory than the positions"""
    for size in (10**12, 2**62):
        positions = np.array([0, 1, 2, size // 2, size - 1])
        what = f"the answer for a size of {size}"
        found = form(part.shuffled(positions, size, 5), (5,), what).tolist()
        if not (all(0 <= x < size for x in found) and len(set(found)) == 5):
            raise CheckFailure(f"{what} is {found}: expected five numbers from 0 to {size - 1}")
        if max(found) < size // 1000:
            raise CheckFailure(f"{what} is {found}: expected numbers from all of the range")


def check_input_unchanged(part: ModuleType) -> None:
    """The positions are not changed"""
    positions = np.arange(100)
    part.shuffled(positions, 100, 0)
    assert_equal(positions.tolist(), list(range(100)), "the positions afterwards")


def check_bad_input(part: ModuleType) -> None:
    """Positions outside the size, and sizes outside their range, raise ValueError"""
    shuffled = part.shuffled
    some = np.array([0])
    assert_raises(ValueError, lambda: shuffled(np.array([3, 10]), 10, 0), "a position is 10 of 10")
    assert_raises(ValueError, lambda: shuffled(np.array([-1]), 10, 0), "a position is -1")
    none = np.zeros(0, np.int64)
    assert_raises(ValueError, lambda: shuffled(none, 0, 0), "size is 0, and there is no position")
    assert_raises(ValueError, lambda: shuffled(some, 2**62 + 1, 0), "size is 2 ** 62 + 1")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` positions of ten million."""
    positions = np.arange(size)
    return lambda: part.shuffled(positions, 10_000_000, 0)


SIZE = 100_000
