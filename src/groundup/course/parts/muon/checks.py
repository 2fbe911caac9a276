"""Checks of `groundup.training.muon`. Oracle: the polynomial on the singular values."""

from collections.abc import Callable, Sequence
from types import ModuleType

import torch
from torch import Tensor, nn

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises, unchanged

FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}
SHAPES = ((6, 4), (4, 6), (5, 5), (6, 4), (2, 9))


def matrices(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def oracle(x: Tensor, iterations: int = 5, eps: float = 1e-7) -> Tensor:
    """By the singular values themselves."""
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    s = s / (torch.linalg.vector_norm(s, dim=-1, keepdim=True) + eps)
    for _ in range(iterations):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    exact: Tensor = u @ torch.diag_embed(s) @ v
    return exact


class Steps:
    """Gradients for some steps, and where plain formulas arrive with them."""

    def __init__(self, *, momentum: float = 0.95, decay: float = 0.0, steps: int = 4) -> None:
        self.start = [matrices(*shape) for shape in SHAPES]
        self.gradients = [[matrices(*shape) for shape in SHAPES] for _ in range(steps)]
        self.rates = [0.02 / (1 + step) for step in range(steps)]
        self.expected = []
        for i, weight in enumerate(self.start):
            m = torch.zeros_like(weight)
            scale = max(1.0, weight.shape[0] / weight.shape[1]) ** 0.5
            for gradients, rate in zip(self.gradients, self.rates, strict=True):
                m = momentum * m + gradients[i]
                update = oracle(gradients[i] + momentum * m)
                weight = weight * (1 - rate * decay) - rate * scale * update
            self.expected.append(weight)

    def run(self, optimizer: object, parameters: Sequence[nn.Parameter]) -> None:
        for gradients, rate in zip(self.gradients, self.rates, strict=True):
            for parameter, gradient in zip(parameters, gradients, strict=True):
                parameter.grad = gradient.clone()
            optimizer.learning_rate = rate  # type: ignore[attr-defined]
            optimizer.step()  # type: ignore[attr-defined]

    def parameters(self) -> list[nn.Parameter]:
        return [nn.Parameter(weight.clone()) for weight in self.start]

    def compare(self, parameters: Sequence[nn.Parameter], what: str) -> None:
        for i, (got, want) in enumerate(zip(parameters, self.expected, strict=True)):
            assert_close(got.detach(), want, what=f"{what}, matrix {i} of shape {SHAPES[i]}",
                         **FLOAT64)  # fmt: skip


def check_orthogonalize(part: ModuleType) -> None:
    """orthogonalize: five times the polynomial on the singular values"""
    cases = [matrices(6, 6), matrices(3, 8), matrices(8, 3), matrices(1, 5)]
    expected = [oracle(x) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        what = f"the result for shape {tuple(x.shape)}"
        assert_close(part.orthogonalize(x), want, what=what, **FLOAT64)


def check_batches(part: ModuleType) -> None:
    """orthogonalize: each matrix of a batch on its own"""
    cases = [matrices(4, 3, 5) * 10.0 ** torch.arange(4)[:, None, None], matrices(2, 2, 5, 3)]
    expected = [oracle(x) for x in cases]
    for x, want in zip(cases, expected, strict=True):
        what = f"the result for shape {tuple(x.shape)}"
        assert_close(part.orthogonalize(x), want, what=what, **FLOAT64)


def check_iterations(part: ModuleType) -> None:
    """orthogonalize: other numbers of iterations; none only divides by the norm"""
    x = matrices(4, 6)
    counts = (0, 1, 2, 7)
    expected = [oracle(x, n) for n in counts]
    for n, want in zip(counts, expected, strict=True):
        assert_close(
            part.orthogonalize(x, n), want, what=f"the result of {n} iterations", **FLOAT64
        )


def check_singular_values(part: ModuleType) -> None:
    """orthogonalize: singular values between 0.01 and 1 end between 0.68 and 1.14"""
    u, _, v = torch.linalg.svd(matrices(8, 8))
    wanted = torch.tensor([1.0, 0.5, 0.3, 0.2, 0.1, 0.05, 0.03, 0.02], dtype=torch.float64)
    x = u @ torch.diag(wanted / wanted.norm()) @ v
    got = part.orthogonalize(x)
    values = torch.diagonal(u.T @ got @ v.T)  # the singular vectors stay
    middle = torch.full((8,), 0.91, dtype=torch.float64)
    assert_close(values, middle, rtol=0, atol=0.23, what="the singular values afterwards")


def check_zeros_and_eps(part: ModuleType) -> None:
    """orthogonalize: zeros stay zeros; eps is added to the norm"""
    zeros, small = torch.zeros(3, 4, dtype=torch.float64), 1e-6 * matrices(3, 4)
    sizes = (1e-7, 1e-3)
    expected = [oracle(small, 5, eps) for eps in sizes]
    assert_close(part.orthogonalize(zeros), zeros, rtol=0, atol=0, what="the result for zeros")
    for eps, want in zip(sizes, expected, strict=True):
        got = part.orthogonalize(small, 5, eps)
        assert_close(got, want, rtol=1e-8, atol=1e-18, what=f"the result for eps={eps}")


def check_input_and_dtype(part: ModuleType) -> None:
    """orthogonalize: the input stays as it is, and the dtype is kept"""
    x = matrices(5, 3)
    narrow = x.bfloat16()
    expected = oracle(narrow.double()).bfloat16()
    with unchanged(matrices=x):
        part.orthogonalize(x)
    got = part.orthogonalize(narrow)
    assert_close(got, expected, rtol=0, atol=0.06, what="the result in bfloat16")


def check_one_step(part: ModuleType) -> None:
    """Muon: the first step"""
    steps = Steps(steps=1)
    parameters = steps.parameters()
    steps.run(part.Muon(parameters, learning_rate=0.0), parameters)
    steps.compare(parameters, "after a step")


def check_momentum(part: ModuleType) -> None:
    """Muon: several steps of changing rates, for two momenta"""
    for momentum, steps in [(momentum, Steps(momentum=momentum)) for momentum in (0.95, 0.5, 0.0)]:
        parameters = steps.parameters()
        steps.run(part.Muon(parameters, learning_rate=1.0, momentum=momentum), parameters)
        steps.compare(parameters, f"after four steps with momentum {momentum}")


def check_decay(part: ModuleType) -> None:
    """Muon: weight decay, apart from the gradient"""
    steps = Steps(decay=0.3)
    parameters = steps.parameters()
    steps.run(part.Muon(parameters, learning_rate=1.0, weight_decay=0.3), parameters)
    steps.compare(parameters, "after four steps with weight decay 0.3")


def check_narrow_products(part: ModuleType) -> None:
    """Muon: dtype says in what it orthogonalises; the weights keep theirs"""
    steps = Steps(steps=1)
    parameters = steps.parameters()
    steps.run(part.Muon(parameters, learning_rate=0.0, dtype=torch.bfloat16), parameters)
    moved = 0.0
    for got, want in zip(parameters, steps.expected, strict=True):
        assert_close(got.detach(), want, rtol=0, atol=3e-3, what="after a step, a matrix")
        moved = max(moved, float((got.detach() - want).abs().max()))
    assert_equal(moved > 1e-7, True, "that bfloat16 shows in the result")


def check_gradients_unchanged(part: ModuleType) -> None:
    """Muon: the gradients are not changed"""
    parameter = nn.Parameter(matrices(3, 4))
    parameter.grad = matrices(3, 4)
    optimizer = part.Muon([parameter], learning_rate=0.1)
    for _ in range(2):
        with unchanged(gradient=parameter.grad):
            optimizer.step()


def check_state(part: ModuleType) -> None:
    """Muon: the state holds the momenta themselves, so that they can be restored"""
    steps = Steps()
    parameters = steps.parameters()
    first = part.Muon(parameters, learning_rate=0.0)
    half = (steps.gradients[2:], steps.rates[2:])
    steps.gradients, steps.rates = steps.gradients[:2], steps.rates[:2]
    steps.run(first, parameters)
    names = sorted(first.state())
    assert_equal(names, [f"momentum.{i}" for i in range(len(SHAPES))], "the names of the state")
    second = part.Muon(parameters, learning_rate=0.0)
    for name, tensor in second.state().items():
        tensor.copy_(first.state()[name])
    steps.gradients, steps.rates = half
    steps.run(second, parameters)
    steps.compare(parameters, "after four steps, of which two by a second optimiser")


def check_bad_input(part: ModuleType) -> None:
    """What is no matrix, or has no gradient, raises ValueError"""
    vector, matrix = nn.Parameter(torch.ones(3)), nn.Parameter(torch.ones(3, 3))
    x = torch.ones(3)
    assert_raises(ValueError, lambda: part.orthogonalize(x), "the input has one axis")
    assert_raises(ValueError, lambda: part.orthogonalize(matrix, -1), "iterations is -1")
    assert_raises(ValueError, lambda: part.Muon([vector], learning_rate=1), "a vector is given")
    optimizer = part.Muon([matrix], learning_rate=1)
    assert_raises(ValueError, optimizer.step, "there is no gradient")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a step over twelve matrices of this size."""
    parameters = [nn.Parameter(torch.randn(size, size)) for _ in range(12)]
    for parameter in parameters:
        parameter.grad = torch.randn(size, size)
    return part.Muon(parameters, learning_rate=0.02).step  # type: ignore[no-any-return]


SIZE = 128
