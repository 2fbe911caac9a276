"""Checks of `groundup.training.gradient_accumulation`. Oracle: the whole batch at once."""

from collections.abc import Callable
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises

FLOAT64 = {"rtol": 1e-10, "atol": 1e-13}
IGNORED = -100
Pair = tuple[Tensor, Tensor]


class Problem:
    """A linear classifier of three classes, and batches of which some targets do not count."""

    def __init__(self, *sizes: int, ignored: int = 0) -> None:
        self.weight = nn.Parameter(torch.randn(3, 4, dtype=torch.float64))
        rows = sum(sizes)
        inputs = torch.randn(rows, 5, 4, dtype=torch.float64)
        targets = torch.randint(0, 3, (rows, 5))
        targets[:ignored, 1:] = IGNORED  # the first micro-batches have less to say
        self.whole = (inputs, targets)
        self.micro = tuple(zip(inputs.split(sizes), targets.split(sizes), strict=True))  # type: ignore[no-untyped-call]

    def loss_sum(self, inputs: Tensor, targets: Tensor) -> Tensor:
        logits = (inputs @ self.weight.T).flatten(0, 1)
        return F.cross_entropy(logits, targets.flatten(), ignore_index=IGNORED, reduction="sum")

    def expected(self, tokens: float | None = None) -> Pair:
        """The loss and the gradient of the whole batch."""
        count = float((self.whole[1] != IGNORED).sum()) if tokens is None else tokens
        loss = self.loss_sum(*self.whole) / count
        (gradient,) = torch.autograd.grad(loss, (self.weight,))
        return loss.detach(), gradient


def compare(problem: Problem, got: object, expected: Pair, what: str) -> None:
    if not isinstance(got, Tensor):
        raise CheckFailure(f"the result is of type {type(got).__name__}: expected a tensor")
    assert_close(got.reshape(()), expected[0], what=f"the loss {what}", **FLOAT64)
    if problem.weight.grad is None:
        raise CheckFailure(f"there is no gradient {what}")
    assert_close(problem.weight.grad, expected[1], what=f"the gradient {what}", **FLOAT64)


def check_one(part: ModuleType) -> None:
    """One micro-batch: the mean loss and its gradient"""
    problem = Problem(4)
    expected = problem.expected()
    got = part.accumulate_gradients(problem.loss_sum, problem.micro)
    compare(problem, got, expected, "of one micro-batch")


def check_several(part: ModuleType) -> None:
    """Several micro-batches equal the whole batch at once"""
    for sizes in ((2, 2), (1, 1, 1, 1), (1, 4)):
        problem = Problem(*sizes)
        expected = problem.expected()
        got = part.accumulate_gradients(problem.loss_sum, problem.micro)
        compare(problem, got, expected, f"of micro-batches of {sizes} rows")


def check_ignored_targets(part: ModuleType) -> None:
    """The mean is over the targets that count, not over micro-batches"""
    problem = Problem(2, 2, 2, ignored=3)
    expected = problem.expected()
    got = part.accumulate_gradients(problem.loss_sum, problem.micro)
    compare(problem, got, expected, "of micro-batches with 2, 6 and 10 targets that count")


def check_empty_micro_batch(part: ModuleType) -> None:
    """A micro-batch without targets adds nothing, and is no NaN"""
    problem = Problem(1, 2, 2)
    problem.micro[0][1].fill_(IGNORED)
    expected = problem.expected()
    got = part.accumulate_gradients(problem.loss_sum, problem.micro)
    compare(problem, got, expected, "where the first micro-batch has no target that counts")


def check_given_tokens(part: ModuleType) -> None:
    """The divisor may be given"""
    problem = Problem(2, 3, ignored=2)
    expected = problem.expected(tokens=7.5)
    got = part.accumulate_gradients(problem.loss_sum, problem.micro, tokens=7.5)
    compare(problem, got, expected, "for tokens=7.5")


def check_added(part: ModuleType) -> None:
    """Gradients are added to those that are there"""
    problem = Problem(2, 2)
    loss, gradient = problem.expected()
    before = torch.randn(3, 4, dtype=torch.float64)
    problem.weight.grad = before.clone()
    got = part.accumulate_gradients(problem.loss_sum, problem.micro)
    compare(problem, got, (loss, before + gradient), "with one there before")


def check_one_graph_at_a_time(part: ModuleType) -> None:
    """Each micro-batch is differentiated before the next is read"""
    problem = Problem(1, 1, 1)
    seen: list[bool] = []

    def loss_sum(inputs: Tensor, targets: Tensor) -> Tensor:
        seen.append(problem.weight.grad is not None)
        return problem.loss_sum(inputs, targets)

    part.accumulate_gradients(loss_sum, problem.micro)
    assert_equal(seen, [False, True, True], "whether there was a gradient at each micro-batch")


def check_before_last(part: ModuleType) -> None:
    """before_last is called once, just before the last micro-batch"""
    for count in (1, 3):
        problem = Problem(*[1] * count)
        happened: list[str] = []

        def loss_sum(inputs: Tensor, targets: Tensor, problem: Problem = problem,
                     happened: list[str] = happened) -> Tensor:  # fmt: skip
            happened.append("batch")
            return problem.loss_sum(inputs, targets)

        part.accumulate_gradients(
            loss_sum, problem.micro, before_last=lambda found=happened: found.append("call")
        )
        expected = [*["batch"] * (count - 1), "call", "batch"]
        assert_equal(happened, expected, f"the order of what happened for {count} micro-batches")


def check_detached(part: ModuleType) -> None:
    """The loss that is returned holds no graph"""
    problem = Problem(2, 2)
    got = part.accumulate_gradients(problem.loss_sum, problem.micro)
    if not isinstance(got, Tensor):
        raise CheckFailure(f"the result is of type {type(got).__name__}: expected a tensor")
    assert_equal(got.requires_grad, False, "requires_grad of the loss")


def check_bad_input(part: ModuleType) -> None:
    """No micro-batch, or no target that counts, raises ValueError"""
    problem = Problem(2, ignored=2)
    problem.micro[0][1].fill_(IGNORED)
    call = part.accumulate_gradients
    assert_raises(ValueError, lambda: call(problem.loss_sum, ()), "there is no micro-batch")
    assert_raises(ValueError, lambda: call(problem.loss_sum, problem.micro), "no target counts")
    other = Problem(1)
    assert_raises(ValueError, lambda: call(other.loss_sum, other.micro, tokens=0), "tokens is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` micro-batches."""
    problem = Problem(*[4] * size)
    return lambda: part.accumulate_gradients(problem.loss_sum, problem.micro)


SIZE = 50
