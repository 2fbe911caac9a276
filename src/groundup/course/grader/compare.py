"""Comparisons that say what differs first, in the learner's terms.

They end in operators on NumPy arrays, which Python code cannot replace, and get there through
functions that are taken hold of here, before any learner's code runs.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CheckFailure", "assert_close", "assert_equal", "assert_raises", "unchanged"]

_detach = torch.Tensor.detach
_to = torch.Tensor.to
_numpy = torch.Tensor.numpy
_array = np.asarray
_no_function_mode = torch._C.DisableTorchFunction
_no_dispatch_mode = torch._C._DisableTorchDispatch


class CheckFailure(AssertionError):  # noqa: N818 (the code is wrong, and the check is right)
    """A check that failed; the message is for the learner."""


Values = Tensor | NDArray[Any]


def _float64(values: Values) -> NDArray[np.float64]:
    if isinstance(values, np.ndarray):
        return _array(values, np.float64)
    with _no_function_mode(), _no_dispatch_mode():  # which learner's code may have switched on
        array: NDArray[np.float64] = _numpy(_to(_detach(values), dtype=torch.float64, device="cpu"))
    return array


def _close(
    got: NDArray[np.float64], want: NDArray[np.float64], rtol: float, atol: float
) -> NDArray[np.bool_]:
    with np.errstate(invalid="ignore"):  # inf - inf
        tolerance = atol + rtol * abs(want)
        near = (abs(got - want) <= tolerance) & (tolerance < float("inf"))
    both_nan = (got != got) & (want != want)
    return _array((got == want) | near | both_nan)


def assert_close(
    actual: object,
    expected: Values | Sequence[Any],
    *,
    rtol: float,
    atol: float,
    what: str = "the output",
) -> None:
    """Fail unless ``actual`` is a tensor like ``expected``: shape, dtype and values.

    Where ``expected`` is an array, ``actual`` has to be one. Of lists and tuples, which may hold
    others, each element is compared.

    Args:
        actual: what the learner's code gave.
        expected: from an oracle.
        rtol, atol: a value may differ by ``atol + rtol * |expected|``.
        what: the subject of the message.

    Raises:
        CheckFailure: naming the shape, the dtype, or the first differing index and both values.
    """
    if not isinstance(expected, (Tensor, np.ndarray)):
        if type(actual) not in (list, tuple) or len(actual) != len(expected):  # type: ignore[arg-type]
            raise CheckFailure(f"{what} is {_kind(actual)}: expected {len(expected)} elements")
        for i, (got, want) in enumerate(zip(actual, expected, strict=True)):  # type: ignore[call-overload]
            assert_close(got, want, rtol=rtol, atol=atol, what=f"{what}[{i}]")
        return
    array = isinstance(expected, np.ndarray)
    if type(actual) not in ((np.ndarray,) if array else (Tensor, torch.nn.Parameter)):
        wanted = f"{'an array' if array else 'a tensor'} of shape {tuple(expected.shape)}"
        raise CheckFailure(f"{what} is {_kind(actual)}: expected {wanted}")
    assert isinstance(actual, (Tensor, np.ndarray))
    if actual.shape != expected.shape:
        raise CheckFailure(
            f"{what} has shape {tuple(actual.shape)}: expected {tuple(expected.shape)}"
        )
    if actual.dtype != expected.dtype:
        raise CheckFailure(f"{what} has dtype {actual.dtype}: expected {expected.dtype}")
    got, want = _float64(actual), _float64(expected)
    wrong = ~_close(got, want, rtol, atol)
    if wrong.any():
        raise CheckFailure(_difference(got, want, wrong, what))


def _difference(
    got: NDArray[np.float64], want: NDArray[np.float64], wrong: NDArray[np.bool_], what: str
) -> str:
    index = _first(wrong)
    if got.size > 1 and not got.any():
        return f"{what} is all zeros: expected {want[index]:.6g} at {list(index)}"
    if (got != got).all():
        return f"{what} is all NaN: expected {want[index]:.6g} at {list(index)}"
    message = (
        f"{what} differs at {list(index)}: got {got[index]:.6g}, expected {want[index]:.6g} "
        f"({int(wrong.sum()):,} of {got.size:,} values differ"
    )
    with np.errstate(invalid="ignore"):
        largest = abs(got - want)[wrong].max()
    return message + (f", by up to {largest:.3g})" if largest < float("inf") else ")")


def _first(true: NDArray[np.bool_]) -> tuple[int, ...]:
    """The first index at which it is true."""
    return tuple(int(axis[0]) for axis in true.nonzero()) if true.ndim else ()


def assert_equal(actual: object, expected: object, what: str = "the result") -> None:
    """Fail unless ``actual == expected`` and both have the same types throughout (no tensors).

    Raises:
        CheckFailure: naming the first differing element where both are lists.
    """
    if type(actual) is not type(expected):
        raise CheckFailure(f"{what} is {_kind(actual)}: expected {_shorten(expected)}")
    if _same(actual, expected):
        return
    if isinstance(actual, list) and isinstance(expected, list):
        if len(actual) != len(expected):
            lengths = f"has {len(actual)} elements, expected {len(expected)}"
            raise CheckFailure(f"{what} {lengths}: {_shorten(actual)}, not {_shorten(expected)}")
        pairs = enumerate(zip(actual, expected, strict=True))
        at = next(i for i, (a, b) in pairs if not _same(a, b))
        raise CheckFailure(
            f"{what} differs at [{at}]: got {actual[at]!r}, expected {expected[at]!r}"
        )
    raise CheckFailure(f"{what} is {_shorten(actual)}: expected {_shorten(expected)}")


def _same(actual: object, expected: object) -> bool:
    """Equal, where no object of another type is asked whether it is."""
    if type(actual) is not type(expected):
        return False
    if isinstance(actual, (list, tuple)) and isinstance(expected, (list, tuple)):
        return len(actual) == len(expected) and all(map(_same, actual, expected))
    if isinstance(actual, dict) and isinstance(expected, dict):
        return len(actual) == len(expected) and all(
            key in actual and _same(actual[key], value) for key, value in expected.items()
        )
    return actual == expected


def assert_raises(
    error: type[Exception], call: Callable[[], object], when: str, mention: str = ""
) -> None:
    """Fail unless ``call()`` raises ``error``, with ``mention`` in its message.

    Raises:
        CheckFailure: nothing, or something else, was raised. NotImplementedError passes through.
    """
    try:
        result = call()
    except NotImplementedError:
        raise
    except error as raised:
        if mention not in str(raised):
            raise CheckFailure(
                f"{error.__name__} when {when}: the message should mention {mention!r}, "
                f"and is {str(raised)!r}"
            ) from None
        return
    except Exception as raised:
        raise CheckFailure(
            f"when {when}: expected {error.__name__}, got {type(raised).__name__}: {raised}"
        ) from raised
    raise CheckFailure(f"when {when}: expected {error.__name__}, and the result is {_kind(result)}")


@contextmanager
def unchanged(**inputs: Values) -> Iterator[None]:
    """Fail if the code inside changes one of these tensors or arrays.

    Raises:
        CheckFailure: naming the input and the first index that changed.
    """
    before = {name: _float64(values).copy() for name, values in inputs.items()}
    yield
    for name, values in inputs.items():
        after = _float64(values)
        if after.shape != before[name].shape:
            raise CheckFailure(f"the input {name} was changed: its shape is now {after.shape}")
        wrong = ~_close(after, before[name], rtol=0.0, atol=0.0)
        if wrong.any():
            index = _first(wrong)
            raise CheckFailure(
                f"the input {name} was changed at {list(index)}, from {before[name][index]:.6g} "
                f"to {after[index]:.6g}: work on a copy"
            )


def _kind(value: object) -> str:
    if value is None:
        return "None"
    if isinstance(value, (int, float, str, bool)):
        return f"{_shorten(value)} ({type(value).__name__})"
    return f"of type {type(value).__name__}"


def _shorten(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."
