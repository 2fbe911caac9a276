"""Comparisons that say what differs first, in the learner's terms.

They end in NumPy, through functions that are taken hold of here, when this module is imported and
before any learner's code runs: replacing ``torch.allclose`` or a method of ``Tensor`` later has no
effect on them.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

__all__ = ["CheckFailure", "assert_close", "assert_equal", "assert_raises", "unchanged"]

_detach = torch.Tensor.detach
_to = torch.Tensor.to
_numpy = torch.Tensor.numpy
_clone = torch.Tensor.clone


class CheckFailure(AssertionError):
    """A check that failed; the message is for the learner."""


def _float64(tensor: Tensor) -> NDArray[np.float64]:
    array: NDArray[np.float64] = _numpy(_to(_detach(tensor), dtype=torch.float64, device="cpu"))
    return array


def assert_close(
    actual: object, expected: Tensor, *, rtol: float, atol: float, what: str = "the output"
) -> None:
    """Fail unless ``actual`` is a tensor like ``expected``: shape, dtype and values.

    Args:
        actual: what the learner's code gave.
        expected: from an oracle.
        rtol, atol: a value may differ by ``atol + rtol * |expected|``.
        what: the subject of the message.

    Raises:
        CheckFailure: naming the shape, the dtype, or the first differing index and both values.
    """
    if type(actual) not in (Tensor, torch.nn.Parameter):
        raise CheckFailure(f"{what} is {_kind(actual)}: expected a tensor of shape "
                           f"{tuple(expected.shape)}")  # fmt: skip
    assert isinstance(actual, Tensor)
    if actual.shape != expected.shape:
        raise CheckFailure(
            f"{what} has shape {tuple(actual.shape)}: expected {tuple(expected.shape)}"
        )
    if actual.dtype != expected.dtype:
        raise CheckFailure(f"{what} has dtype {actual.dtype}: expected {expected.dtype}")
    got, want = _float64(actual), _float64(expected)
    wrong = ~np.isclose(got, want, rtol=rtol, atol=atol, equal_nan=True)
    if wrong.any():
        raise CheckFailure(_difference(got, want, wrong, what))


def _difference(
    got: NDArray[np.float64], want: NDArray[np.float64], wrong: NDArray[np.bool_], what: str
) -> str:
    if got.size > 1 and not got.any():
        return f"{what} is all zeros: expected, first, {want.flat[0]:.6g}"
    if np.isnan(got).all():
        return f"{what} is all NaN"
    index = tuple(int(i) for i in np.argwhere(wrong)[0])
    message = (
        f"{what} differs at {list(index)}: got {got[index]:.6g}, expected {want[index]:.6g} "
        f"({int(wrong.sum()):,} of {got.size:,} values differ"
    )
    with np.errstate(invalid="ignore"):
        largest = np.abs(got - want)[wrong].max()
    return message + (f", by up to {largest:.3g})" if np.isfinite(largest) else ")")


def assert_equal(actual: object, expected: object, what: str = "the result") -> None:
    """Fail unless ``actual == expected`` and both are of the same type (no tensors).

    Raises:
        CheckFailure: naming the first differing element where both are lists.
    """
    if type(actual) is not type(expected):
        raise CheckFailure(f"{what} is {_kind(actual)}: expected {_shorten(expected)}")
    if actual == expected:
        return
    if isinstance(actual, list) and isinstance(expected, list):
        if len(actual) != len(expected):
            lengths = f"has {len(actual)} elements, expected {len(expected)}"
            raise CheckFailure(f"{what} {lengths}: {_shorten(actual)}, not {_shorten(expected)}")
        pairs = enumerate(zip(actual, expected, strict=True))
        at = next(i for i, (a, b) in pairs if a != b)
        raise CheckFailure(
            f"{what} differs at [{at}]: got {actual[at]!r}, expected {expected[at]!r}"
        )
    raise CheckFailure(f"{what} is {_shorten(actual)}: expected {_shorten(expected)}")


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
    raise CheckFailure(f"when {when}: expected {error.__name__}, got {_kind(result)} and no error")


@contextmanager
def unchanged(**inputs: Tensor) -> Iterator[None]:
    """Fail if the code inside changes one of these tensors.

    Raises:
        CheckFailure: naming the input and the first index that changed.
    """
    before = {name: _float64(_clone(tensor)) for name, tensor in inputs.items()}
    yield
    for name, tensor in inputs.items():
        after = _float64(tensor)
        if after.shape != before[name].shape:
            raise CheckFailure(f"the input {name} was changed: its shape is now {after.shape}")
        wrong = ~((after == before[name]) | (np.isnan(after) & np.isnan(before[name])))
        if wrong.any():
            index = tuple(int(i) for i in np.argwhere(wrong)[0])
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
