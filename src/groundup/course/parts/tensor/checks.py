"""Checks of `groundup.scratch.tensor`. Oracles: torch in float64, invariants of the graph."""

import gc
import sys
import weakref
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import torch

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.course.grader.scratch_operation import Array, assert_operation, expectation

EXACT = {"rtol": 1e-12, "atol": 1e-15}
DEPTH = 5_000  # operations; Python's own stack holds 1,000 calls


def normal(*shape: int, seed: int = 0) -> Array:
    """Values that are not near zero, so that they can be divided by."""
    values = np.random.default_rng([seed, *shape]).standard_normal(shape)
    return np.asarray(values + np.copysign(0.2, values))


def array(*values: float) -> Array:
    return np.array(values)


Case = tuple[str, Callable[..., Any], tuple[Array, ...]]


def compare(part: ModuleType, cases: list[Case]) -> None:
    """Each function has to give the same of the part's tensors as of torch's."""
    expected = [expectation(function, *arrays) for _, function, arrays in cases]
    for (name, function, _), want in zip(cases, expected, strict=True):
        assert_operation(function, want, what=name, tensor=part.Tensor)


def check_leaf(part: ModuleType) -> None:
    """A new tensor: its attributes, and which dtype it has"""
    x = array(1.0, 2.0)
    leaf = part.Tensor(x, requires_grad=True)
    assert_equal(leaf.data is x, True, "that an array of floats is kept as it is")
    assert_equal(
        (leaf.grad, leaf.inputs, leaf.backward_function, leaf.requires_grad),
        (None, (), None, True),
        "grad, inputs, backward_function and requires_grad",
    )
    assert_equal((leaf.shape, leaf.ndim, len(leaf)), ((2,), 1, 2), "shape, ndim and length")
    assert_equal(part.Tensor(x).requires_grad, False, "requires_grad where nothing is said")
    kinds = {"a list": [1.5], "an integer": 3, "integers": np.arange(3), "a float": 0.5}
    for name, data in kinds.items():
        dtype = part.Tensor(data).dtype
        assert_equal(str(dtype), "float32", f"the dtype of a tensor made of {name}")
    assert_equal(str(part.Tensor(np.float64(1)).dtype), "float64", "the dtype of a NumPy float64")
    assert_equal(part.Tensor([[2.5]]).item(), 2.5, "the item")
    assert_raises(ValueError, lambda: part.Tensor("text"), "the data is a text")
    assert_raises(ValueError, lambda: part.Tensor(x * 1j), "the data is complex")


def check_operators(part: ModuleType) -> None:
    """Sums, products, quotients, powers: values and gradients, in float64"""
    x, y = normal(3, 4), normal(3, 4, seed=1)
    compare(
        part,
        [
            ("x + y", lambda x, y: x + y, (x, y)),
            ("x - y", lambda x, y: x - y, (x, y)),
            ("x * y", lambda x, y: x * y, (x, y)),
            ("x / y", lambda x, y: x / y, (x, y)),
            ("-x", lambda x: -x, (x,)),
            ("x ** 3", lambda x: x**3, (x,)),
            ("x ** -2", lambda x: x**-2, (x,)),
            ("zeros ** 0", lambda x: x**0, (0 * x,)),
        ],
    )


def check_broadcasting(part: ModuleType) -> None:
    """Operands of other shapes: each gradient has its operand's own"""
    shapes = [((3, 4), (4,)), ((3, 4), (3, 1)), ((2, 1, 4), (3, 1)), ((), (2, 3)), ((1, 1), (3,))]
    cases: list[Case] = []
    for one, other in shapes:
        arrays = normal(*one), normal(*other, seed=1)
        cases += [
            (f"{one} + {other}", lambda x, y: x + y, arrays),
            (f"{one} - {other}", lambda x, y: x - y, arrays),
            (f"{one} * {other}", lambda x, y: x * y, arrays),
            (f"{one} / {other}", lambda x, y: x / y, arrays),
        ]
    compare(part, cases)


def check_unbroadcast(part: ModuleType) -> None:
    """unbroadcast sums over what was repeated"""
    cases = [((2, 3), (3,)), ((2, 3), (1, 3)), ((2, 3), (2, 1)), ((4, 2, 3), (2, 1)), ((2, 3), ())]
    cases += [((2, 1, 3), (1, 3)), ((1, 3), (1, 3)), ((1, 1), ())]
    expected = []
    for whole, shape in cases:
        zeros = torch.zeros(shape, dtype=torch.float64, requires_grad=True)
        g = torch.tensor(normal(*whole))
        repeated = zeros.broadcast_to(whole)
        expected.append(torch.autograd.grad((repeated * g).sum(), zeros)[0].numpy())
    for (whole, shape), want in zip(cases, expected, strict=True):
        got = np.asarray(part.unbroadcast(normal(*whole), shape))
        assert_close(got, want, what=f"unbroadcast from {whole} to {shape}", **EXACT)


def check_numbers_and_arrays(part: ModuleType) -> None:
    """Numbers and arrays on either side of a tensor"""
    x, y = normal(2, 3), normal(3, seed=1)
    compare(
        part,
        [
            ("2 + x", lambda x: 2 + x, (x,)),
            ("2 - x", lambda x: 2 - x, (x,)),
            ("x - 2", lambda x: x - 2, (x,)),
            ("3 * x", lambda x: 3 * x, (x,)),
            ("3 / x", lambda x: 3 / x, (x,)),
            ("x / 3", lambda x: x / 3, (x,)),
        ],
    )
    tensor = part.Tensor(x)
    for name, result, want in (
        ("array - tensor", y - tensor, y - x),
        ("array * tensor", y * tensor, y * x),
        ("array @ tensor", y[:2] @ tensor, y[:2] @ x),
        ("tensor / array", tensor / y, x / y),
    ):
        if not isinstance(result, part.Tensor):
            raise CheckFailure(f"{name} is of type {type(result).__name__}: expected a Tensor")
        assert_close(result.data, want, what=name, **EXACT)
    half = part.Tensor(np.ones(2, np.float32))
    for name, result in (("2.5 * x", 2.5 * half), ("x + 1", half + 1), ("x ** 2", half**2)):
        assert_equal(str(result.dtype), "float32", f"the dtype of {name} for float32 x")


def check_matmul(part: ModuleType) -> None:
    """Products of matrices, of stacks of them, and of vectors"""
    shapes = [
        *(((2, 3), (3, 4)), ((5, 2, 3), (5, 3, 4)), ((5, 2, 3), (3, 4)), ((2, 3), (5, 3, 4))),
        *(((4, 1, 2, 3), (5, 3, 2)), ((3,), (3,)), ((2, 3), (3,)), ((3,), (3, 4))),
        *(((5, 2, 3), (3,)), ((3,), (5, 3, 4))),
    ]
    cases: list[Case] = [
        (f"{one} @ {other}", lambda x, y: x @ y, (normal(*one), normal(*other, seed=1)))
        for one, other in shapes
    ]
    compare(part, cases)


def check_sums(part: ModuleType) -> None:
    """Sums over all axes, one, or several, with and without keeping them"""
    x = normal(2, 3, 4)
    expected = [expectation(lambda x: x.sum(), x)]
    choices = [(axis, keep) for axis in (0, 1, -1, (0, 2)) for keep in (False, True)]
    for axis, keep in choices:
        expected.append(expectation(lambda x, a=axis, k=keep: x.sum(a, keepdim=k), x))
    assert_operation(lambda x: x.sum(), expected[0], what="x.sum()", tensor=part.Tensor)
    for (axis, keep), want in zip(choices, expected[1:], strict=True):
        what = f"x.sum({axis}, keepdims={keep})"
        assert_operation(
            lambda x, a=axis, k=keep: x.sum(a, keepdims=k), want, what=what, tensor=part.Tensor
        )


def check_shapes(part: ModuleType) -> None:
    """reshape and transpose, which share their tensor's memory"""
    x = normal(2, 3, 4)
    three = expectation(lambda x: x.permute(2, 0, 1), x)
    reverse = expectation(lambda x: x.permute(2, 1, 0), x)
    flat = expectation(lambda x: x.reshape(6, 4), x)
    guessed = expectation(lambda x: x.permute(1, 0, 2).reshape(3, -1), x)
    kind = part.Tensor
    assert_operation(lambda x: x.transpose(2, 0, 1), three, what="transpose(2, 0, 1)", tensor=kind)
    assert_operation(lambda x: x.transpose(-1, 0, -2), three, what="with -1 and -2", tensor=kind)
    assert_operation(lambda x: x.transpose(), reverse, what="transpose()", tensor=kind)
    assert_operation(lambda x: x.reshape(6, 4), flat, what="reshape(6, 4)", tensor=kind)
    both = lambda x: x.transpose(1, 0, 2).reshape(3, -1)  # noqa: E731
    assert_operation(both, guessed, what="transpose, then reshape(3, -1)", tensor=kind)
    tensor = kind(x)
    for name, view in (
        ("reshape", tensor.reshape(6, 4)),
        ("transpose", tensor.transpose()),
        ("a slice", tensor[1:, ::2]),
        ("detach", tensor.detach()),
    ):
        assert_equal(np.shares_memory(view.data, x), True, f"that {name} shares memory")


def check_indexing(part: ModuleType) -> None:
    """Elements, slices, arrays of integers (also twice the same) and of booleans"""
    x, rows = normal(4, 3), np.array([0, 2, 2, 2])
    mask = x > 0
    torch_rows, torch_mask = torch.tensor(rows), torch.tensor(mask)
    pairs: list[tuple[str, Callable[[Any], Any], Callable[[Any], Any]]] = [
        ("x[1]", lambda x: x[1], lambda x: x[1]),
        ("x[-1, 2]", lambda x: x[-1, 2], lambda x: x[-1, 2]),
        ("x[1:, ::2]", lambda x: x[1:, ::2], lambda x: x[1:, ::2]),
        ("x[..., None, 1]", lambda x: x[..., None, 1], lambda x: x[..., None, 1]),
        ("x[[0, 2, 2, 2]]", lambda x: x[rows], lambda x: x[torch_rows]),
        ("x[[0, 2, 2, 2], 1]", lambda x: x[rows, 1], lambda x: x[torch_rows, 1]),
        ("x[x > 0]", lambda x: x[mask], lambda x: x[torch_mask]),
    ]
    expected = [expectation(theirs, x) for _, _, theirs in pairs]
    for (name, ours, _), want in zip(pairs, expected, strict=True):
        assert_operation(ours, want, what=name, tensor=part.Tensor)


def check_used_twice(part: ModuleType) -> None:
    """What is used several times receives the sum, once everything after it is done"""
    x = array(3.0, -2.0)
    compare(
        part,
        [
            ("b + b where b = a + a", lambda a: (a + a) + (a + a), (x,)),
            ("b + b of one b", lambda a: (lambda b: b + b)(a + a), (x,)),
            ("c * b + b where c = b * b", lambda a: (lambda b: b * b * b + b)(a * a), (x,)),
            ("b + (b * b) * b", lambda a: (lambda b: b + (b * b) * b)(a * 2), (x,)),
        ],
    )


def check_accumulation(part: ModuleType) -> None:
    """Gradients add up over calls; no two share memory"""
    a, b = (part.Tensor(array(2.0, 3.0), requires_grad=True) for _ in range(2))
    (a * a).sum().backward()
    (a * 3).sum().backward()
    assert_close(a.grad, array(7.0, 9.0), what="the gradient after two calls", **EXACT)
    a.grad = None
    given = array(1.0, 1.0)
    (a + b).backward(given)
    a.grad *= 10
    assert_close(b.grad, array(1.0, 1.0), what="of a + b the gradient of b, after that of a was "
                 "changed in place,", **EXACT)  # fmt: skip
    leaf = part.Tensor(array(1.0, 1.0), requires_grad=True)
    leaf.backward(given)
    leaf.grad *= 10
    assert_close(given, array(1.0, 1.0), what="the gradient that backward was given", **EXACT)
    c = part.Tensor(array(1.0, 1.0), requires_grad=True)
    c.sum().backward()
    c.grad *= 2
    assert_close(c.grad, array(2.0, 2.0), what="of a sum a gradient changed in place", **EXACT)


def check_without_gradient(part: ModuleType) -> None:
    """Only leaves that require it get a gradient; what nobody requires is not recorded"""
    a, b = part.Tensor(array(2.0), requires_grad=True), part.Tensor(array(5.0))
    c = b * b
    assert_equal((c.requires_grad, c.inputs), (False, ()), "requires_grad and inputs of b * b")
    middle = a * c
    (middle * 1).backward()
    assert_close(a.grad, array(25.0), what="the gradient of a in a * b * b", **EXACT)
    assert_equal(
        (b.grad, c.grad, middle.grad), (None, None, None), "grad of b, b * b and a * b * b"
    )


def check_no_grad(part: ModuleType) -> None:
    """Within no_grad nothing is recorded, also where the block ends with an error"""
    a = part.Tensor(array(2.0), requires_grad=True)
    with part.no_grad():
        inner = a * a
    outer = a * a
    assert_equal(
        (inner.requires_grad, inner.inputs, inner.backward_function),
        (False, (), None),
        "requires_grad, inputs and backward_function of a result within no_grad",
    )
    assert_equal(outer.requires_grad, True, "requires_grad of a result after no_grad")
    assert_raises(KeyError, lambda: _raise_within(part.no_grad), "the block raises KeyError")
    assert_equal((a * a).requires_grad, True, "requires_grad after a block that raised")
    with part.no_grad():
        with part.no_grad():
            pass
        still = a * a
    assert_equal(still.requires_grad, False, "requires_grad after an inner block")


def _raise_within(no_grad: Callable[[], Any]) -> None:
    with no_grad():
        raise KeyError


def check_depth(part: ModuleType) -> None:
    """A graph of 5,000 operations: no recursion"""
    x = part.Tensor(array(1.0), requires_grad=True)
    y = x
    for _ in range(DEPTH):
        y = y + x
    sys.setrecursionlimit(500)
    y.backward()
    assert_close(x.grad, array(DEPTH + 1.0), what=f"the gradient through {DEPTH} sums", **EXACT)


def check_wide_graph(part: ModuleType) -> None:
    """A graph with 2 ** 60 paths is walked once"""
    x = part.Tensor(array(1.0), requires_grad=True)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert_close(x.grad, array(2.0**60), what="the gradient through 60 doublings", **EXACT)


def check_order(part: ModuleType) -> None:
    """topological_order: inputs first, each tensor once, only what requires a gradient"""
    a, b = part.Tensor(array(2.0), requires_grad=True), part.Tensor(array(5.0))
    c = a * b
    d = c * a
    e = d + c
    names = {id(a): "a", id(b): "b", id(c): "a*b", id(d): "a*b*a", id(e): "a*b*a + a*b"}
    order = [names[id(tensor)] for tensor in part.topological_order(e)]
    assert_equal(order, ["a", "a*b", "a*b*a", "a*b*a + a*b"], "the order of a*b*a + a*b")


def check_memory(part: ModuleType) -> None:
    """backward lets go of the graph, and nothing refers to itself"""
    gc.disable()  # then only counts of references free
    x = part.Tensor(normal(4), requires_grad=True)
    loss = ((x * 2) * (x + 1)).sum()
    alive = [weakref.ref(tensor) for tensor in part.topological_order(loss)[1:-1]]
    loss.backward()
    left = sum(tensor() is not None for tensor in alive)
    assert_equal(left, 0, "the number of inner tensors that are left after backward")
    abandoned = weakref.ref(x * x)
    assert_equal(abandoned() is None, True, "that a result which nobody holds is gone at once")


def check_second_backward(part: ModuleType) -> None:
    """A second backward needs keep=True; that also leaves inner gradients"""
    a = part.Tensor(array(3.0), requires_grad=True)
    b = a * a
    c = b * 2
    c.backward(keep=True)
    assert_close(b.grad, array(2.0), what="of a kept graph the inner gradient", **EXACT)
    c.backward(keep=True)
    assert_close(a.grad, array(24.0), what="the gradient of a after two calls", **EXACT)
    assert_close(b.grad, array(2.0), what="the inner gradient after two calls", **EXACT)
    assert_close(c.grad, array(1.0), what="the last tensor's own gradient", **EXACT)
    c.backward()
    assert_raises(ValueError, c.backward, "backward is called after one without keep=True")
    assert_raises(ValueError, (b * 2).backward, "a part of the graph was let go of before")


def check_record(part: ModuleType) -> None:
    """record: an operation of one's own, with shapes as they were broadcast and None"""
    x = part.Tensor(normal(3), requires_grad=True)
    y = part.Tensor(normal(2, 3, seed=1))
    result = part.record(x.data + y.data, (x, y), lambda g: (g, None))
    assert_equal(result.requires_grad, True, "requires_grad of the result")
    assert_equal([id(i) for i in result.inputs], [id(x), id(y)], "the list of its inputs")
    result.backward(normal(2, 3, seed=2))
    want = normal(2, 3, seed=2).sum(axis=0)
    assert_close(x.grad, want, what="the gradient of an input that was broadcast", **EXACT)
    assert_equal(y.grad, None, "the gradient of an input that requires none")
    plain = part.record(y.data, (y,), lambda g: (g,))
    assert_equal((plain.requires_grad, plain.inputs), (False, ()), "what a result without "
                 "inputs that require a gradient remembers")  # fmt: skip


def check_dtypes(part: ModuleType) -> None:
    """A gradient has the shape and dtype of its tensor, also without axes"""
    x = part.Tensor(np.ones((2, 2), np.float32), requires_grad=True)
    y = part.Tensor(np.ones((2, 2)), requires_grad=True)
    single = part.Tensor(np.float64(2.0), requires_grad=True)
    ((x @ y) * single).sum().backward()
    assert_close(x.grad, np.full((2, 2), 4, np.float32), what="the float32 gradient", **EXACT)
    assert_close(y.grad, np.full((2, 2), 4.0), what="the float64 gradient", **EXACT)
    assert_close(single.grad, np.array(8.0), what="the gradient without axes", **EXACT)
    (single * single).backward()
    assert_close(single.grad, np.array(12.0), what="that gradient after a second call", **EXACT)


def check_inputs_unchanged(part: ModuleType) -> None:
    """Neither an operation nor backward changes what it is given"""
    arrays = {"x": normal(3, 3), "y": normal(3, 3, seed=1)}
    with unchanged(**arrays):
        x, y = (part.Tensor(values, requires_grad=True) for values in arrays.values())
        ((x @ y - x / y + x**2 * y)[1:] * 2).sum().backward()


def check_bad_input(part: ModuleType) -> None:
    """A missing or misshapen gradient, and nothing to differentiate, raise ValueError"""
    leaf = part.Tensor(array(1.0, 2.0), requires_grad=True)
    plain = part.Tensor(array(1.0))
    assert_raises(ValueError, (leaf * 2).backward, "two numbers have no gradient given")
    assert_raises(
        ValueError, lambda: (leaf * 2).backward(np.ones(3)), "the gradient has shape (3,), not (2,)"
    )
    assert_raises(
        ValueError, lambda: (leaf * 2).backward(np.ones(1)), "the gradient has shape (1,), not (2,)"
    )
    assert_raises(ValueError, plain.backward, "the tensor requires no gradient")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: forward and backward through ``size`` small operations."""
    x = part.Tensor(np.ones(8, np.float32), requires_grad=True)

    def run() -> None:
        y = x
        for _ in range(size):
            y = y * 0.5 + x
        y.sum().backward()

    return run


SIZE = 500
