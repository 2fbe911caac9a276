"""A tensor that records operations and differentiates them in reverse order."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["Array", "Tensor", "no_grad", "record", "topological_order", "unbroadcast"]

Array = NDArray[Any]  # of floats, where nothing else is said

_recording: ContextVar[bool] = ContextVar("recording", default=True)


class Tensor:
    """A NumPy array of floats, and how it was computed.

    Every operation gives a new tensor that knows its inputs and how a gradient passes through to
    them. ``backward`` on the last one walks this graph from the end to the beginning, and by the
    chain rule leaves in ``grad`` of each tensor that was made with ``requires_grad`` the gradient
    of the last in it.

    Operands broadcast and dtypes combine as in NumPy; a Python number takes the dtype of the
    tensor beside it, an array becomes a tensor. ``reshape``, ``transpose`` and slices are views:
    they share the memory of the tensor they come from. Nobody may change ``data`` between an
    operation and its ``backward``, which reads it again; optimisers change it afterwards.

    Source: Baydin et al. 2015, "Automatic differentiation in machine learning: a survey",
    section 3.2 (reverse mode).
    """

    __slots__ = ("__weakref__", "backward_function", "data", "grad", "inputs", "requires_grad")
    __array_ufunc__ = None  # so that array * tensor asks the tensor

    def __init__(self, data: object, requires_grad: bool = False) -> None:
        """Make a tensor that no operation led to: a leaf.

        Args:
            data: anything that ``np.asarray`` takes. An array of floats is kept as it is, in its
                memory and dtype; numbers, lists and integers become float32.
            requires_grad: whether ``backward`` should leave a gradient here.

        The attributes of every tensor: ``data``; ``grad``, None or an array of the shape and dtype
        of ``data``; ``requires_grad``; ``inputs``, the tensors it was computed from (none for a
        leaf, and where no gradient is wanted), and ``backward_function``, see ``record`` (None for
        those).

        Raises:
            ValueError: data is not an array of numbers.
        """
        array = np.asarray(data)
        if array.dtype.kind not in "fiub":
            raise ValueError(f"a tensor holds real numbers, got {array.dtype}")
        if array.dtype.kind != "f" or not isinstance(data, (np.ndarray, np.generic)):
            array = array.astype(np.float32)
        self.data: Array = array
        self.grad: Array | None = None
        self.requires_grad = requires_grad
        self.inputs: tuple[Tensor, ...] = ()
        self.backward_function: Callable[[Array], Sequence[Array | None]] | None = None

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of ``data``."""
        return self.data.shape

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.data.ndim

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of ``data``."""
        return self.data.dtype

    def item(self) -> float:
        """The value of a tensor with a single element."""
        return float(self.data.item())

    def detach(self) -> "Tensor":
        """A leaf without gradient that shares this tensor's memory."""
        return Tensor(self.data)

    def backward(self, gradient: object = None, *, keep: bool = False) -> None:
        """Add to ``grad`` of every leaf that requires it the gradient of this tensor in it.

        The graph is walked without recursion, so it may be 100,000 operations deep. It is let go
        of on the way: inner tensors neither keep their inputs nor get a ``grad``. Gradients of
        leaves own their memory: changing one changes no other.

        Args:
            gradient: dLoss/dself, of the shape of this tensor. May be left out where this tensor
                has one element: then it is 1.
            keep: keep the graph, so that ``backward`` can be called again, and leave in ``grad``
                of the inner tensors (this one included) their gradient of this call alone.

        Raises:
            ValueError: this tensor requires no gradient, ``gradient`` is missing or has another
                shape, or the graph was let go of by an earlier ``backward``.
        """
        if not self.requires_grad:
            raise ValueError("backward needs a tensor that was computed from one with "
                             "requires_grad=True, outside of no_grad")  # fmt: skip
        if gradient is None:
            if self.data.size != 1:
                raise ValueError(f"backward of a tensor of shape {self.shape} needs a gradient "
                                 "of that shape: only of a single number it is 1")  # fmt: skip
            gradient = np.ones_like(self.data)
        start: Array = np.array(gradient, dtype=self.dtype)
        if start.shape != self.shape:
            raise ValueError(f"the gradient has shape {start.shape}, the tensor {self.shape}")
        order = topological_order(self)
        gradients = {id(self): start}
        while order:
            tensor = order.pop()  # all that use it have been before
            g = gradients.pop(id(tensor), None)
            if g is None:  # what uses it passed nothing on
                continue
            if tensor.backward_function is None:
                tensor.grad = g if tensor.grad is None else np.asarray(tensor.grad + g)
                continue
            for source, share in zip(tensor.inputs, tensor.backward_function(g), strict=True):
                if share is None or not source.requires_grad:
                    continue
                # NumPy makes numbers of arrays without axes, which nobody could change in place.
                own = np.asarray(unbroadcast(share, source.shape), source.dtype)
                if id(source) in gradients:
                    own = np.asarray(gradients[id(source)] + own)
                elif source.backward_function is None and (own is g or not _owns(own)):
                    own = own.copy()
                gradients[id(source)] = own
            if keep:
                tensor.grad = g.copy()
            else:
                tensor.inputs, tensor.backward_function = (), _released

    def __repr__(self) -> str:
        return f"Tensor({np.array2string(self.data, precision=4, threshold=20)}, {self.dtype})"

    def __len__(self) -> int:
        return len(self.data)

    def __add__(self, other: object) -> "Tensor":
        """The sum, element by element. Other operations have their gradients likewise."""
        other = self._operand(other)
        return record(self.data + other.data, (self, other), lambda g: (g, g))

    def __mul__(self, other: object) -> "Tensor":
        """The product, element by element."""
        x, y = self, self._operand(other)

        def backward(g: Array) -> tuple[Array | None, Array | None]:
            return (
                g * y.data if x.requires_grad else None,
                g * x.data if y.requires_grad else None,
            )

        return record(x.data * y.data, (x, y), backward)

    def __truediv__(self, other: object) -> "Tensor":
        """The quotient, element by element."""
        x, y = self, self._operand(other)

        def backward(g: Array) -> tuple[Array, Array | None]:
            ratio = g / y.data
            return ratio, -ratio * (x.data / y.data) if y.requires_grad else None

        return record(x.data / y.data, (x, y), backward)

    def __pow__(self, exponent: float) -> "Tensor":
        """Each element to the power of a number (not of a tensor)."""
        x = self.data

        def backward(g: Array) -> tuple[Array]:
            # x ** 0 is 1 everywhere, and 0 * 0 ** -1 would be NaN.
            return (g * (exponent * x ** (exponent - 1)) if exponent else np.zeros_like(g),)

        return record(x**exponent, (self,), backward)

    def __neg__(self) -> "Tensor":
        return record(-self.data, (self,), lambda g: (-g,))

    def __sub__(self, other: object) -> "Tensor":
        other = self._operand(other)
        return record(self.data - other.data, (self, other), lambda g: (g, -g))

    def __radd__(self, other: object) -> "Tensor":
        return self._operand(other) + self

    def __rmul__(self, other: object) -> "Tensor":
        return self._operand(other) * self

    def __rsub__(self, other: object) -> "Tensor":
        return self._operand(other) - self

    def __rtruediv__(self, other: object) -> "Tensor":
        return self._operand(other) / self

    def __matmul__(self, other: object) -> "Tensor":
        """The matrix product over the last two axes.

        Args:
            other: (..., K, N), for a tensor of shape (..., M, K). The leading axes broadcast.
                Either may also be a single vector, (K,), as in NumPy.

        Returns:
            Shape (..., M, N), without the axis of a side that was a vector.
        """
        x, y = self, self._operand(other)

        def backward(g: Array) -> tuple[Array | None, Array | None]:
            left = x.data if x.ndim > 1 else x.data[None, :]
            right = y.data if y.ndim > 1 else y.data[:, None]
            if y.ndim == 1:
                g = g[..., None]
            if x.ndim == 1:
                g = g[..., None, :]
            dx = g @ right.swapaxes(-1, -2) if x.requires_grad else None
            dy = left.swapaxes(-1, -2) @ g if y.requires_grad else None
            return dx, dy[..., 0] if dy is not None and y.ndim == 1 else dy

        return record(x.data @ y.data, (x, y), backward)

    def __rmatmul__(self, other: object) -> "Tensor":
        return self._operand(other) @ self

    def __getitem__(self, index: Any) -> "Tensor":
        """What ``data[index]`` is: slices are views; arrays of integers or booleans copy.

        An element that an array of integers names several times receives the sum of the gradients.
        """
        x = self.data

        def backward(g: Array) -> tuple[Array]:
            whole = np.zeros(x.shape, g.dtype)
            if _is_basic(index):
                whole[index] = g
            else:
                np.add.at(whole, index, g)
            return (whole,)

        return record(x[index], (self,), backward)

    def sum(self, axis: int | tuple[int, ...] | None = None, keepdims: bool = False) -> "Tensor":
        """The sum over an axis, several, or all; with ``keepdims`` they stay, of length 1."""
        x = self.data

        def backward(g: Array) -> tuple[Array]:
            if axis is not None and not keepdims:
                g = np.expand_dims(g, axis)
            return (np.broadcast_to(g, x.shape),)

        return record(x.sum(axis=axis, keepdims=keepdims), (self,), backward)

    def reshape(self, *shape: int) -> "Tensor":
        """The same elements in another shape, of which one size may be -1."""
        before = self.shape
        return record(self.data.reshape(shape), (self,), lambda g: (g.reshape(before),))

    def transpose(self, *axes: int) -> "Tensor":
        """The axes in another order: a permutation of 0, 1, …; without one, the reverse."""
        order = [axis % self.ndim for axis in axes or range(self.ndim)[::-1]]
        return record(
            self.data.transpose(order), (self,), lambda g: (g.transpose(np.argsort(order)),)
        )

    def _operand(self, other: object) -> "Tensor":
        if isinstance(other, Tensor):
            return other
        return Tensor(np.asarray(other, self.dtype) if np.isscalar(other) else other)


def record(
    data: object,
    inputs: tuple[Tensor, ...],
    backward: Callable[[Array], Sequence[Array | None]],
) -> Tensor:
    """The result of an operation, with its place in the graph.

    Args:
        data: what the operation computed.
        inputs: the tensors that it computed it from.
        backward: takes dLoss/dresult, of the shape of ``data``, and returns dLoss/dinput for each
            input, in order. It may not change what it takes. What it returns may have the shape to
            which the input was broadcast, and be None where an input requires no gradient.

    Returns:
        A tensor that requires a gradient if an input does. If none does, or within ``no_grad``, it
        remembers neither its inputs nor ``backward``, and with that not the arrays that these hold.
    """
    result = Tensor(np.asarray(data))
    if _recording.get() and any(tensor.requires_grad for tensor in inputs):
        result.requires_grad = True
        result.inputs, result.backward_function = inputs, backward
    return result


@contextmanager
def no_grad() -> Iterator[None]:
    """Within it, operations are computed and not recorded, in this thread. Also a decorator."""
    token = _recording.set(False)
    try:
        yield
    finally:
        _recording.reset(token)


def unbroadcast(gradient: Array, shape: tuple[int, ...]) -> Array:
    """The gradient of an operand of this shape, from that of what it was broadcast to.

    An element that broadcasting repeated had an effect at each place, so its gradient is the sum
    over them.

    Args:
        gradient: of a shape to which ``shape`` broadcasts. Returned as it is where they are equal.
        shape: the operand's own.
    """
    if gradient.shape == shape:
        return gradient
    added = gradient.ndim - len(shape)
    if added:
        gradient = gradient.sum(axis=tuple(range(added)))
    repeated = tuple(i for i, size in enumerate(shape) if size == 1 != gradient.shape[i])
    return gradient.sum(axis=repeated, keepdims=True) if repeated else gradient


def topological_order(last: Tensor) -> list[Tensor]:
    """All tensors that require a gradient and on which ``last`` depends, each once.

    Each stands behind its inputs; ``last`` is the last.
    """
    order: list[Tensor] = []
    seen: set[int] = set()
    stack = [(last, False)]
    while stack:
        tensor, inputs_done = stack.pop()
        if inputs_done:
            order.append(tensor)
        elif id(tensor) not in seen:
            seen.add(id(tensor))
            stack.append((tensor, True))
            stack.extend((source, False) for source in tensor.inputs if source.requires_grad)
    return order


def _owns(array: Array) -> bool:
    """Whether nobody else sees its memory. (What ``np.broadcast_to`` gives is seen many times.)"""
    return array.base is None and array.flags.writeable


def _is_basic(index: Any) -> bool:
    """Whether it names no element twice, by NumPy's rules of basic indexing."""
    parts = index if isinstance(index, tuple) else (index,)
    return all(
        part is None or part is Ellipsis or isinstance(part, (int, np.integer, slice))
        for part in parts
    ) and not any(isinstance(part, bool) for part in parts)


def _released(gradient: Array) -> Sequence[Array | None]:
    raise ValueError("this graph was let go of by an earlier backward: compute it again, or keep "
                     "it with backward(keep=True)")  # fmt: skip
