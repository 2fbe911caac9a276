"""Comparisons that say what differs first."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)

NAN, INF = math.nan, math.inf


def message(call: Callable[[], object]) -> str:
    with pytest.raises(CheckFailure) as caught:
        call()
    return str(caught.value)


def difference(actual: object, expected: Tensor, rtol: float = 0.0, atol: float = 1e-6) -> str:
    return message(lambda: assert_close(actual, expected, rtol=rtol, atol=atol))


def test_the_first_difference_is_named_with_both_values() -> None:
    expected = torch.zeros(2, 3)
    actual = torch.tensor([[0.0, 0.0, 0.25], [0.0, -3.0, 0.0]])
    assert difference(actual, expected) == (
        "the output differs at [0, 2]: got 0.25, expected 0 (2 of 6 values differ, by up to 3)"
    )


def test_the_subject_of_the_message_can_be_named() -> None:
    found = message(
        lambda: assert_close(torch.ones(1), torch.zeros(1), rtol=0, atol=0, what="the gradient")
    )
    assert found.startswith("the gradient differs at [0]: got 1, expected 0")


@pytest.mark.parametrize(
    ("actual", "words"),
    [
        ([torch.ones(2)], "the output is of type list: expected 2 elements"),
        (torch.ones(2), "the output is of type Tensor: expected 2 elements"),
        (None, "the output is None: expected 2 elements"),
        ([torch.ones(2), [torch.ones(1), 3]], "the output[1][1] is 3 (int): expected a tensor"),
        ([torch.zeros(2), (torch.ones(1), torch.ones(1))], "the output[0] is all zeros"),
        ([torch.ones(2), (torch.ones(1), torch.zeros(1))], "the output[1][1] differs at [0]"),
    ],
)
def test_of_lists_the_element_is_named(actual: object, words: str) -> None:
    expected = [torch.ones(2), (torch.ones(1), torch.ones(1))]
    assert_close(expected, expected, rtol=0, atol=0)
    assert words in message(lambda: assert_close(actual, expected, rtol=0, atol=0))


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        (torch.ones(2, 3), torch.ones(3, 2), "has shape (2, 3): expected (3, 2)"),
        (torch.ones(1), torch.tensor(1.0), "has shape (1,): expected ()"),
        (torch.ones(3), torch.ones(1), "has shape (3,): expected (1,)"),  # no broadcasting
        (torch.ones(2), torch.ones(2).double(), "dtype torch.float32: expected torch.float64"),
        (torch.ones(2).int(), torch.ones(2), "dtype torch.int32: expected torch.float32"),
        (None, torch.ones(2), "is None: expected a tensor of shape (2,)"),
        (1.5, torch.tensor(1.5), "is 1.5 (float): expected a tensor of shape ()"),
        ([1.0], torch.ones(1), "is of type list: expected a tensor of shape (1,)"),
        (torch.ones(2).numpy(), torch.ones(2), "is of type ndarray: expected a tensor"),
        (torch.zeros(2), torch.tensor([0.0, 5.0]), "is all zeros: expected 5 at [1]"),
        (torch.full((2,), NAN), torch.tensor([NAN, 5.0]), "is all NaN: expected 5 at [1]"),
        (torch.tensor([1.0, NAN]), torch.ones(2), "at [1]: got nan, expected 1"),
        (torch.ones(2), torch.tensor([1.0, NAN]), "at [1]: got 1, expected nan"),
        (torch.tensor([1.0, INF]), torch.ones(2), "at [1]: got inf, expected 1 (1 of 2 values"),
        (torch.ones(2), torch.tensor([1.0, -INF]), "at [1]: got 1, expected -inf"),
        (torch.tensor([INF]), torch.tensor([-INF]), "at [0]: got inf, expected -inf"),
        (torch.tensor(2.0), torch.tensor(3.0), "differs at []: got 2, expected 3"),
        (torch.tensor([True]), torch.tensor([False]), "at [0]: got 1, expected 0"),
        (torch.empty(0, 2), torch.empty(2, 0), "has shape (0, 2): expected (2, 0)"),
    ],
)
def test_a_difference_is_found(actual: object, expected: Tensor, words: str) -> None:
    assert words in difference(actual, expected)


@pytest.mark.parametrize(
    "tensor",
    [
        torch.tensor([1.0, NAN, INF, -INF]),
        torch.randn(3, 4).T,  # not contiguous
        torch.randn(4, 6)[::2, 1::3],
        torch.randn(1, 3).expand(5, 3),
        torch.randn(2).bfloat16(),
        torch.randn(2).half(),
        torch.arange(3),
        torch.tensor([True, False]),
        torch.tensor(3.0),
        torch.empty(0, 3),
        torch.zeros(4),
        torch.randn(2, requires_grad=True),
        torch.nn.Parameter(torch.randn(2)),
    ],
)
def test_a_copy_is_close(tensor: Tensor) -> None:
    assert_close(tensor.clone(), tensor, rtol=0, atol=0)
    assert_close(tensor, tensor.detach(), rtol=0, atol=0)


@pytest.mark.parametrize(("off", "fine"), [(0.9e-3, True), (1.1e-3, False)])
@pytest.mark.parametrize(
    ("expected", "rtol", "atol"), [(1.0, 1e-3, 0.0), (-1.0, 1e-3, 0.0), (0.0, 0.5, 1e-3)]
)
def test_tolerances_hold_on_both_sides(
    off: float, fine: bool, expected: float, rtol: float, atol: float
) -> None:
    want = torch.tensor([expected], dtype=torch.float64)
    for actual in (want + off, want - off):
        if fine:
            assert_close(actual, want, rtol=rtol, atol=atol)
        else:
            assert "differs at [0]" in difference(actual, want, rtol, atol)


def test_an_infinite_expectation_has_no_infinite_tolerance() -> None:
    assert "differs at [0]" in difference(torch.tensor([5.0]), torch.tensor([INF]), rtol=0.5)


def test_values_of_float64_are_compared_in_float64() -> None:
    want = torch.ones(1, dtype=torch.float64)
    assert "differs at [0]" in difference(want + 1e-12, want, atol=1e-13)


class Agreeable(Tensor):
    """A tensor that equals all others."""

    @classmethod
    def __torch_function__(cls, *args: object, **kwargs: object) -> bool:
        return True


class Agreeing(int):
    def __eq__(self, other: object) -> bool:
        return True

    __hash__ = int.__hash__


def test_objects_with_comparisons_of_their_own_are_not_asked() -> None:
    agreeable = torch.zeros(2).as_subclass(Agreeable)
    assert "is of type Agreeable: expected a tensor" in difference(agreeable, torch.ones(2))
    assert "differs at [0]" in message(lambda: assert_equal([Agreeing(3)], [4]))
    assert "expected 4" in message(lambda: assert_equal(Agreeing(3), 4))
    assert "expected {'a': 4}" in message(lambda: assert_equal({"a": Agreeing(3)}, {"a": 4}))


@pytest.mark.parametrize(
    ("actual", "expected", "words"),
    [
        ([1, 2, 3], [1, 5, 6], "the result differs at [1]: got 2, expected 5"),
        ([1, 2], [1, 2, 3], "has 2 elements, expected 3: [1, 2], not [1, 2, 3]"),
        ([[1], [2]], [[1], [3]], "differs at [1]: got [2], expected [3]"),
        ([True], [1], "differs at [0]: got True, expected 1"),
        ((1, 2), [1, 2], "is of type tuple: expected [1, 2]"),
        ("ab", "abc", "is 'ab': expected 'abc'"),
        (1.0, 1, "is 1.0 (float): expected 1"),
        (None, [], "is None: expected []"),
        ({"a": 1}, {"b": 1}, "is {'a': 1}: expected {'b': 1}"),
        ({"a": 1, "b": 2}, {"a": 1}, "is {'a': 1, 'b': 2}: expected {'a': 1}"),
        ("x" * 200, "y", "is '" + "x" * 76 + "...: expected 'y'"),
    ],
)
def test_unequal_objects_are_told_apart(actual: object, expected: object, words: str) -> None:
    assert words in message(lambda: assert_equal(actual, expected))


@pytest.mark.parametrize("value", [[], [1, [2, "x"]], (1, 2.5), {"a": [1]}, b"ab", None, {1, 2}])
def test_equal_objects_pass(value: object) -> None:
    assert_equal(value, value)


def fail(error: BaseException) -> Callable[[], object]:
    def call() -> object:
        raise error

    return call


def test_the_expected_error_passes_with_its_words() -> None:
    assert_raises(ValueError, fail(ValueError("got 3 heads")), "heads do not fit", mention="3")
    assert_raises(ValueError, fail(UnicodeError("a kind of ValueError")), "text is broken")


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: 5, "when x is empty: expected ValueError, and the result is 5 (int)"),
        (lambda: None, "when x is empty: expected ValueError, and the result is None"),
        (fail(KeyError("k")), "when x is empty: expected ValueError, got KeyError: 'k'"),
        (fail(ValueError("no")), "ValueError when x is empty: the message should mention 'empty'"),
    ],
)
def test_another_end_than_the_expected_error_fails(call: Callable[[], object], words: str) -> None:
    found = message(lambda: assert_raises(ValueError, call, "x is empty", mention="empty"))
    assert words in found


def test_what_is_not_written_yet_is_no_wrong_error() -> None:
    with pytest.raises(NotImplementedError):
        assert_raises(ValueError, fail(NotImplementedError()), "x is empty")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda x: x.mul_(2), "the input x was changed at [0, 0], from 1 to 2: work on a copy"),
        (lambda x: x[1, 2].fill_(9), "the input x was changed at [1, 2], from 1 to 9"),
        (lambda x: x.data.add_(1), "the input x was changed at [0, 0]"),
        (lambda x: x.numpy().fill(7), "the input x was changed at [0, 0], from 1 to 7"),
        (lambda x: x.fill_(NAN), "the input x was changed at [0, 0], from 1 to nan"),
        (lambda x: x.t_(), "the input x was changed: its shape is now (3, 2)"),
        (lambda x: x.resize_(1), "the input x was changed: its shape is now (1,)"),
    ],
)
def test_a_changed_input_is_named(change: Callable[[Tensor], object], words: str) -> None:
    x, y = torch.ones(2, 3), torch.ones(2)

    def changing() -> None:
        with unchanged(y=y, x=x):
            change(x)

    assert words in message(changing)


def test_inputs_that_stay_the_same_pass() -> None:
    x = torch.tensor([1.0, NAN, INF], requires_grad=True)
    with unchanged(x=x, ids=torch.arange(3)):
        torch.autograd.grad((x * 2)[0], x)
