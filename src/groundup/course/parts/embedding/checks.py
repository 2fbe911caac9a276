"""Checks of `groundup.scratch.embedding`. Oracle: torch's in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal, assert_raises
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation
from groundup.scratch.tensor import Tensor


def normal(*shape: int) -> Array:
    return np.asarray(np.random.default_rng([*shape]).standard_normal(shape))


def compare(part: ModuleType, cases: dict[str, Any], weight: Array, rtol: float = 1e-9) -> None:
    """Values and gradients for these ids."""
    expected = {}
    for case, ids in cases.items():
        wanted = torch.as_tensor(np.array(ids, np.int64))
        expected[case] = expectation(lambda w, wanted=wanted: F.embedding(wanted, w), weight)
    for case, ids in cases.items():
        call = lambda w, ids=ids: part.embedding(ids, w)  # noqa: E731
        assert_operation(call, expected[case], what=f"the vectors of {case}", names=("the weight",),
                         rtol=rtol)  # fmt: skip


def check_values_and_gradients(part: ModuleType) -> None:
    """The rows that the ids name; rows that are not named get zeros"""
    cases = {"three ids": np.array([2, 0, 4]), "one id": np.array([3]), "a number": np.array(1)}
    compare(part, cases, normal(6, 4))


def check_repeated_ids(part: ModuleType) -> None:
    """A row that is named several times gets the sum of the gradients"""
    rng = np.random.default_rng(0)
    cases = {
        "the same id three times": np.array([1, 1, 1]),
        "ids in disorder": np.array([4, 0, 4, 2, 0, 4, 5]),
        "50 ids of 6": rng.integers(0, 6, 50),
    }
    compare(part, cases, normal(6, 3))


def check_shapes(part: ModuleType) -> None:
    """Ids of any shape, also none at all, strided, and lists"""
    ids = np.random.default_rng(1).integers(0, 5, (4, 6))
    cases = {
        "ids of shape (4, 6)": ids,
        "transposed ids": ids.T,
        "every other id": ids[::2, ::3],
        "ids of shape (2, 3, 4)": ids.reshape(2, 3, 4),
        "no ids": np.zeros((0, 3), np.int64),
        "a list": [[1, 2], [2, 2]],
        "unsigned ids": ids.astype(np.uint8),
    }
    compare(part, cases, normal(5, 3))


def check_float32(part: ModuleType) -> None:
    """A float32 weight gives float32 vectors and gradients"""
    weight = normal(6, 4).astype(np.float32)
    compare(part, {"repeated ids": np.array([5, 1, 5, 5])}, weight, rtol=1e-5)


def check_copies(part: ModuleType) -> None:
    """The vectors are copies: changing them changes no row"""
    weight = Tensor(normal(4, 3), requires_grad=True)
    before = weight.data.copy()
    part.embedding(np.array([0, 1, 2, 3]), weight).data[...] = 9
    assert_close(
        weight.data, before, rtol=0, atol=0, what="the weight, after vectors were changed,"
    )


def check_layer(part: ModuleType) -> None:
    """The layer: a trained table of normal numbers, float32, as the generator gives them"""
    wanted = np.random.default_rng(3).standard_normal((200, 50)).astype(np.float32)
    layer = part.Embedding(200, 50, rng=np.random.default_rng(3))
    assert_close(layer.weight.data, wanted, rtol=0, atol=0, what="the table")
    assert_equal(len(layer.parameters()), 1, "the number of parameters")
    out = layer(np.array([[7, 7], [0, 199]]))
    assert_close(out.data, wanted[[[7, 7], [0, 199]]], rtol=0, atol=0, what="the vectors")
    out.sum().backward()
    if layer.weight.grad is None:
        raise CheckFailure("the table gets no gradient: is it made with requires_grad?")
    assert_close(layer.weight.grad[7], np.full(50, 2, np.float32), rtol=0, atol=0,
                 what="the gradient of the row that is named twice")  # fmt: skip


def check_bad_ids(part: ModuleType) -> None:
    """Ids that name no row raise ValueError"""
    weight = Tensor(normal(5, 3))
    cases: dict[str, Any] = {
        "an id is 5 of 0 to 4": np.array([0, 5]),
        "an id is negative": np.array([1, -1]),
        "ids are floats": np.array([1.0, 2.0]),
        "ids are booleans": np.array([True, False]),
    }
    part.embedding(np.array([0, 4]), weight)
    for when, ids in cases.items():
        assert_raises(ValueError, lambda ids=ids: part.embedding(ids, weight), when)  # type: ignore[misc]


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward of ``size`` ids of 1,000, with 64 features."""
    weight = Tensor(normal(1000, 64).astype(np.float32), requires_grad=True)
    ids = np.random.default_rng(0).integers(0, 1000, size)
    return lambda: part.embedding(ids, weight).sum().backward()


SIZE = 4000
