"""The graph: order, depth, memory, what is recorded, what is refused."""

import gc
import re
import subprocess
import sys
import threading
import tracemalloc
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from groundup.scratch.elementwise import exp, relu
from groundup.scratch.linear import linear
from groundup.scratch.tensor import Array, Tensor, no_grad, record, topological_order


def leaf(*values: float) -> Tensor:
    return Tensor(np.array(values), requires_grad=True)


def gradient(tensor: Tensor) -> Array:
    assert tensor.grad is not None
    return tensor.grad


def test_a_node_that_is_used_twice_gets_both_gradients() -> None:
    a = leaf(1.0, -2.0)
    b = a + a
    c = b + b
    c.backward(np.array([1.0, 10.0]))
    assert gradient(a).tolist() == [4.0, 40.0]


def test_a_node_is_passed_only_when_all_that_use_it_were() -> None:
    """A diamond whose sides are of different lengths: depth-first without order goes wrong."""
    a = leaf(3.0)
    b = a * a
    c = b * b + exp(b * 0) * b  # b^2 + b
    (c + b).sum().backward()
    assert gradient(a).tolist() == [4 * 3**3 + 2 * 2 * 3]


def test_a_tensor_without_axes_has_an_array_for_its_gradient() -> None:
    x = Tensor(np.float64(3.0), requires_grad=True)
    for function in (lambda: x * x, lambda: x + x, lambda: (x * Tensor(np.ones(3))).sum()):
        function().backward()
        assert type(x.grad) is np.ndarray


def test_gradients_add_up_over_calls_until_they_are_cleared() -> None:
    a = leaf(2.0)
    (a * a).backward()
    (a * 3).backward()
    assert gradient(a).tolist() == [7.0]


def test_a_graph_of_depth_100_000_needs_no_recursion() -> None:
    """In a process of its own, as a stack that overflows ends the process."""
    program = """
import sys, numpy as np
from groundup.scratch.tensor import Tensor
sys.setrecursionlimit(200)
x = Tensor(np.ones(2), requires_grad=True)
y = x
for _ in range(50_000):
    y = y * 0.99999 + 0.00001
y.backward(np.ones(2), keep=True)
assert abs(x.grad[0] / 0.99999**50_000 - 1) < 1e-9, x.grad
y.backward(np.ones(2))
y = x
for _ in range(100_000):
    y = y + x
del y  # never walked: freed link by link
print("done", x.grad)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=120
    )
    assert done.stdout.startswith("done"), done.stderr[-500:]


def test_backward_frees_the_graph_as_it_goes_and_leaves_no_cycles() -> None:
    gc.disable()  # what is freed has to be freed by the counts of references
    try:
        x = Tensor(np.ones(1000), requires_grad=True)
        inner = exp(x * 2)
        top = relu(inner)
        loss = (top * top).sum()
        alive = [weakref.ref(inner), weakref.ref(top)]
        del inner, top
        assert all(tensor() is not None for tensor in alive)
        loss.backward()
        assert [tensor() for tensor in alive] == [None, None]
        forgotten = weakref.ref(exp(x))  # never walked
        assert forgotten() is None
    finally:
        gc.enable()


def test_memory_does_not_grow_with_the_steps() -> None:
    x = Tensor(np.ones((100, 100)), requires_grad=True)
    gc.disable()
    try:
        tracemalloc.start()
        sizes = []
        for _ in range(6):
            (exp(x) @ x).sum().backward()
            x.grad = None
            sizes.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
        gc.enable()
    assert sizes[-1] - sizes[1] < 8_000  # a tenth of one array


def test_backward_holds_few_gradients_at_a_time() -> None:
    """Through 50 layers the peak is some arrays above the forward pass, not 50."""
    x = Tensor(np.ones(100_000), requires_grad=True)
    y = x
    for _ in range(50):
        y = -y
    loss = y.sum()
    tracemalloc.start()
    loss.backward()
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 5 * x.data.nbytes


def test_no_grad_records_nothing_and_ends_with_its_block() -> None:
    x = leaf(1.0)
    with no_grad():
        y = x * 2
    assert not y.requires_grad
    assert y.inputs == ()
    assert y.backward_function is None
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert (x * 2).requires_grad

    @no_grad()
    def decorated() -> Tensor:
        return x * 2

    assert not decorated().requires_grad
    assert not decorated().requires_grad


def test_no_grad_holds_for_its_own_thread_alone() -> None:
    x, seen = leaf(1.0), []
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * 2).requires_grad))
        thread.start()
        thread.join(10)
    assert seen == [True]


def test_nothing_is_recorded_where_no_input_wants_a_gradient() -> None:
    y = exp(Tensor(np.ones(3))) * 2
    assert (y.requires_grad, y.inputs, y.backward_function) == (False, (), None)


def test_views_share_memory_and_pass_gradients_on() -> None:
    x = Tensor(np.arange(12.0).reshape(3, 4), requires_grad=True)
    view = x[1:].transpose().reshape(4, 2)[::-1]
    assert np.shares_memory(x[1:].data, x.data)
    assert np.shares_memory(x.transpose().data, x.data)
    assert np.shares_memory(x.reshape(4, 3).data, x.data)
    assert np.shares_memory(x.detach().data, x.data)
    assert not x.detach().requires_grad
    (view * Tensor(np.arange(8.0).reshape(4, 2))).sum().backward()
    assert gradient(x).tolist() == [[0, 0, 0, 0], [6, 4, 2, 0], [7, 5, 3, 1]]


def test_gradients_share_no_memory() -> None:
    """So that clipping one in place changes no other."""
    cases: list[Callable[[Tensor, Tensor], Tensor]] = [
        lambda x, y: x + y,
        lambda x, y: (x + y).sum(),
        lambda x, y: x.reshape(2, 2) + y.transpose().reshape(2, 2),
        lambda x, y: x - y,
    ]
    for function in cases:
        x, y = leaf(1.0, 2.0, 3.0, 4.0), leaf(1.0, 2.0, 3.0, 4.0)
        result = function(x, y)
        given = np.ones(result.shape)
        result.backward(given)
        for tensor in (x, y):
            gradient(tensor)[...] *= 2
        assert abs(gradient(x)).tolist() == abs(gradient(y)).tolist() == [2.0] * 4
        assert (given == 1).all()


def test_kept_graphs_hold_inner_gradients_and_can_be_walked_again() -> None:
    x = leaf(3.0)
    y = x * x
    z = y * 2
    z.backward(keep=True)
    z.backward(keep=True)
    assert gradient(x).tolist() == [24.0]  # twice 12
    assert gradient(y).tolist() == [2.0]  # of the last call alone
    assert gradient(z).tolist() == [1.0]
    z.backward()
    with pytest.raises(ValueError, match=r"let go of by an earlier backward.*keep=True"):
        z.backward()
    with pytest.raises(ValueError, match="let go of"):
        (y * 2).backward()


def test_order_has_inputs_first_and_only_what_wants_a_gradient() -> None:
    a, b = leaf(1.0), Tensor(np.ones(1))
    c = a * b
    d = c * a
    order = topological_order(d)
    assert [id(t) for t in order] == [id(t) for t in (a, c, d)]


def test_numbers_take_the_dtype_of_the_tensor() -> None:
    x = Tensor(np.ones(2, np.float32))
    for y in (x * 2.5, 2.5 * x, x + 1, 1 - x, 1 / x, x**2, x / 3):
        assert y.dtype == np.float32
    assert (x + np.ones(2)).dtype == np.float64
    left = np.ones(2) * x
    assert isinstance(left, Tensor)
    assert left.dtype == np.float64
    assert Tensor([1, 2]).dtype == Tensor(3).dtype == Tensor(np.arange(2)).dtype == np.float32


def test_gradients_have_the_dtype_of_their_tensor() -> None:
    x, w = Tensor(np.ones((2, 2), np.float32), True), Tensor(np.ones((2, 2)), True)
    (x @ w).sum().backward()
    assert gradient(x).dtype == np.float32
    assert gradient(w).dtype == np.float64


def test_what_needs_no_gradient_costs_none() -> None:
    """A backward function is told by requires_grad what nobody wants."""
    x, w = Tensor(np.ones((2, 3))), Tensor(np.ones((4, 3)), requires_grad=True)
    y = linear(x, w)
    assert y.backward_function is not None
    dx, dw = y.backward_function(np.ones((2, 4)))
    assert dx is None
    assert dw is not None


def test_other_operations_join_by_record() -> None:
    x = leaf(2.0)
    y = record(x.data**3, (x,), lambda g: (g * 3 * x.data**2,))
    y.backward()
    assert gradient(x).tolist() == [12.0]


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: Tensor(np.ones(2)).backward(np.ones(2)), "requires_grad=True, outside of no_grad"),
        (lambda: (leaf(1.0, 2.0) * 2).backward(), "shape (2,) needs a gradient of that shape"),
        (lambda: (leaf(1.0, 2.0) * 2).backward(np.ones(3)), "shape (3,), the tensor (2,)"),
        (lambda: Tensor("text"), "a tensor holds real numbers"),
        (lambda: Tensor(None), "a tensor holds real numbers, got object"),
        (lambda: Tensor(np.ones(2) * 1j), "a tensor holds real numbers, got complex128"),
        (lambda: leaf(1.0, 2.0) + np.ones(3), "shapes (2,) (3,)"),
    ],
)
def test_bad_input_is_refused(call: Callable[[], Any], message: str) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        call()


def test_scratch_imports_no_framework() -> None:
    program = (
        "import importlib, pkgutil, sys, groundup.scratch as room\n"
        "names = [m.name for m in pkgutil.iter_modules(room.__path__)]\n"
        "for name in names: importlib.import_module(f'groundup.scratch.{name}')\n"
        "print(len(names), sorted({'torch', 'numba', 'scipy', 'sklearn'} & set(sys.modules)))"
    )
    out = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True
    ).stdout
    count, heavy = out.split(maxsplit=1)
    assert int(count) > 20
    assert heavy.strip() == "[]"
