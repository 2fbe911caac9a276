"""Checks of `groundup.scratch.cross_entropy`. Oracle: torch's cross-entropy in float64."""

import math
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
import torch.nn.functional as F

from groundup.course.grader.compare import assert_close, assert_raises, unchanged
from groundup.course.grader.scratch_operation import (
    Array,
    Expectation,
    assert_operation,
    expectation,
)
from groundup.scratch.tensor import Tensor

EXACT = {"rtol": 1e-12, "atol": 1e-12}


def normal(N: int, C: int) -> Array:
    return np.asarray(np.random.default_rng([N, C]).standard_normal((N, C)))


def labels_for(N: int, C: int) -> Array:
    return np.random.default_rng([C, N]).integers(C, size=N)


def expected_of(logits: Array, labels: Array) -> Expectation:
    return expectation(lambda x: F.cross_entropy(x, torch.tensor(labels)), logits)


def check_values_and_gradients(part: ModuleType) -> None:
    """Loss and gradient in float64, for several sizes"""
    sizes = [(1, 2), (4, 3), (7, 10), (3, 1)]
    cases = [(normal(N, C), labels_for(N, C)) for N, C in sizes]
    expected = [expected_of(*case) for case in cases]
    for (logits, labels), want in zip(cases, expected, strict=True):
        call = lambda x, labels=labels: part.cross_entropy(x, labels)  # noqa: E731
        assert_operation(call, want, what=f"the loss for {logits.shape}", names=("the logits",))


def check_large_logits(part: ModuleType) -> None:
    """Logits of ±1000, all far from zero, or very different: neither infinity nor NaN"""
    cases = {
        "±1000": 1000 * np.sign(normal(6, 4)),
        "around 1000": 1000 + normal(6, 4),
        "around -1000": normal(6, 4) - 1000,
        "up to 5000": 2000 * normal(6, 4),
    }
    labels = labels_for(6, 4)
    expected = {name: expected_of(logits, labels) for name, logits in cases.items()}
    for name, want in expected.items():
        call = lambda x: part.cross_entropy(x, labels)  # noqa: E731
        assert_operation(call, want, what=f"the loss for logits {name}", names=("the logits",))


def check_certain(part: ModuleType) -> None:
    """Equal logits give log C; a certain right answer 0, a certain wrong one its distance"""
    equal, certain = np.zeros((5, 8)), np.array([[100.0, 0.0], [0.0, 100.0]])
    loss = part.cross_entropy(Tensor(equal), np.arange(5)).data
    assert_close(loss, np.array(math.log(8)), what="the loss of equal logits", **EXACT)
    right = part.cross_entropy(Tensor(certain), np.array([0, 1])).data
    assert_close(right, np.array(0.0), what="the loss of certain right answers", **EXACT)
    wrong = part.cross_entropy(Tensor(certain), np.array([1, 0])).data
    assert_close(wrong, np.array(100.0), what="the loss of certain wrong answers", **EXACT)


def check_gradient_is_scaled(part: ModuleType) -> None:
    """The gradient is multiplied by the one that comes from behind"""
    logits, labels = normal(4, 3), labels_for(4, 3)
    want = expectation(lambda x: (F.cross_entropy(x, torch.tensor(labels)) * 7) ** 2, logits)
    call = lambda x: (part.cross_entropy(x, labels) * 7) ** 2  # noqa: E731
    assert_operation(call, want, what="the square of seven losses", names=("the logits",))


def check_float32(part: ModuleType) -> None:
    """float32 logits give a float32 loss and gradient"""
    logits, labels = normal(16, 10).astype(np.float32), labels_for(16, 10)
    call = lambda x: part.cross_entropy(x, labels)  # noqa: E731
    want = expected_of(logits, labels)
    assert_operation(call, want, names=("the logits",), rtol=1e-5)


def check_strides_and_kinds_of_labels(part: ModuleType) -> None:
    """Strided logits; labels of any integer dtype, and a list"""
    logits, labels = normal(3, 12).T[::2], labels_for(6, 3)
    want = expected_of(logits, labels)
    for given in (labels, labels.astype(np.uint8), labels.astype(np.int32), labels.tolist()):
        call = lambda x, given=given: part.cross_entropy(x, given)  # noqa: E731
        assert_operation(call, want, names=("the logits",))


def check_twice(part: ModuleType) -> None:
    """A kept graph gives the same gradient a second time"""
    logits, labels = normal(4, 3), labels_for(4, 3)
    want = expected_of(logits, labels).gradients[0] / expected_of(logits, labels).gradient
    x = Tensor(logits, requires_grad=True)
    loss = part.cross_entropy(x, labels)
    loss.backward(keep=True)
    x.grad = None
    loss.backward()
    assert_close(x.grad, want, what="the gradient of a second backward", rtol=1e-9, atol=1e-12)


def check_input_unchanged(part: ModuleType) -> None:
    """The logits and the labels are not changed"""
    logits, labels = normal(4, 3), labels_for(4, 3)
    with unchanged(logits=logits, labels=labels):
        part.cross_entropy(Tensor(logits, requires_grad=True), labels).backward()


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit, and labels that are no classes, raise ValueError"""
    logits = Tensor(normal(4, 3))
    cube = Tensor(np.zeros((4, 3, 2)))
    empty = Tensor(np.zeros((0, 3)))
    for labels, when in (
        ([0, 1, 2, 3], "a label is 3 and there are 3 classes"),
        ([0, 1, 2, -1], "a label is -1"),
        ([0, 1, 2], "4 examples have 3 labels"),
        ([0], "4 examples have 1 label"),
        ([[0], [1], [2], [0]], "labels have shape (4, 1)"),
        ([0.0, 1.0, 2.0, 0.0], "labels are floats"),
    ):
        call = lambda labels=labels: part.cross_entropy(logits, np.array(labels))  # noqa: E731
        assert_raises(ValueError, call, when)
    assert_raises(ValueError, lambda: part.cross_entropy(cube, np.zeros(4, int)), "three axes")
    assert_raises(ValueError, lambda: part.cross_entropy(empty, np.zeros(0, int)), "no examples")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: loss and gradient of ``size`` examples, 1,000 classes each."""
    x = Tensor(normal(size, 1000).astype(np.float32), requires_grad=True)
    labels = labels_for(size, 1000)
    return lambda: part.cross_entropy(x, labels).backward()


SIZE = 128
