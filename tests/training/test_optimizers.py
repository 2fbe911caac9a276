"""AdamW and Muon against torch.optim, and orthogonalisation against the SVD."""

import pytest
import torch
from torch import Tensor, nn

from groundup.training.adamw import AdamW
from groundup.training.muon import Muon, orthogonalize

SHAPES = [(6, 4), (4, 6), (5, 5), (6, 4)]


def problem() -> tuple[list[nn.Parameter], Tensor]:
    """Parameters in float64, and what their squares are pulled towards."""
    torch.manual_seed(0)
    parameters = [nn.Parameter(torch.randn(*shape, dtype=torch.float64)) for shape in SHAPES]
    return parameters, torch.randn(24, dtype=torch.float64)


def gradients(parameters: list[nn.Parameter], goal: Tensor, step: int) -> None:
    pulled = [((p.flatten() ** 2 - goal[: p.numel()]) ** 2).sum() for p in parameters[:2]]
    turned = [(p.sin() * (step + 1)).sum() for p in parameters[2:]]
    loss = torch.stack(pulled + turned).sum()
    for p in parameters:
        p.grad = None
    loss.backward()


def test_adamw_equals_torch_for_100_steps_of_changing_rates() -> None:
    ours, goal = problem()
    theirs, _ = problem()
    mine = AdamW(ours, learning_rate=0.0, betas=(0.8, 0.95), weight_decay=0.1)
    reference = torch.optim.AdamW(theirs, lr=0.0, betas=(0.8, 0.95), weight_decay=0.1)
    for step in range(100):
        rate = 1e-2 / (1 + step)
        gradients(ours, goal, step)
        gradients(theirs, goal, step)
        mine.learning_rate = reference.param_groups[0]["lr"] = rate
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-12)


def test_adamw_in_one_loop_equals_torch_in_float64() -> None:
    torch.manual_seed(2)
    starts = [torch.randn(300, 256) / 10, torch.randn(256) / 10]
    ours, theirs = (
        [nn.Parameter(x.to(dtype)) for x in starts] for dtype in (torch.float32, torch.float64)
    )
    mine = AdamW(ours, learning_rate=1e-3, betas=(0.9, 0.999), weight_decay=0.1)
    groups = [{"params": [p], "weight_decay": 0.1 * (p.ndim > 1)} for p in theirs]
    reference = torch.optim.AdamW(groups, lr=1e-3, betas=(0.9, 0.999))
    for _ in range(20):
        for a, b in zip(ours, theirs, strict=True):
            gradient = torch.randn(256, *a.shape[:-1]).movedim(0, -1) * 1e-3  # not contiguous
            a.grad, b.grad = gradient, gradient.double()
        mine.step()
        reference.step()
    for i, (a, b, start) in enumerate(zip(ours, theirs, starts, strict=True)):
        torch.testing.assert_close(a.double() - start, b - start, rtol=1e-4, atol=1e-6)
        state = reference.state[b]
        for found, wanted in (
            (mine.first_moments[i], state["exp_avg"]),
            (mine.second_moments[i], state["exp_avg_sq"]),
        ):
            torch.testing.assert_close(found.double(), wanted, rtol=1e-5, atol=1e-10)


def test_adamw_decays_matrices_and_leaves_vectors() -> None:
    matrix, vector = nn.Parameter(torch.ones(2, 2)), nn.Parameter(torch.ones(2))
    for p in (matrix, vector):
        p.grad = torch.zeros_like(p)
    AdamW([matrix, vector], learning_rate=0.1, weight_decay=0.5).step()
    torch.testing.assert_close(matrix.data, torch.full((2, 2), 0.95))
    torch.testing.assert_close(vector.data, torch.ones(2))


@pytest.mark.parametrize("shape", [(8, 8), (3, 9), (9, 3), (2, 4, 6)])
def test_orthogonalize_applies_its_polynomial_to_the_singular_values(
    shape: tuple[int, ...],
) -> None:
    torch.manual_seed(1)
    x = torch.randn(*shape, dtype=torch.float64)
    u, s, v = torch.linalg.svd(x, full_matrices=False)
    s = s / (torch.linalg.vector_norm(s, dim=-1, keepdim=True) + 1e-7)
    for _ in range(5):
        s = 3.4445 * s - 4.7750 * s**3 + 2.0315 * s**5
    expected = u @ torch.diag_embed(s) @ v
    torch.testing.assert_close(orthogonalize(x), expected, rtol=1e-10, atol=1e-12)


def test_muon_equals_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    # Theirs orthogonalises in bfloat16: it is kept from narrowing, and the comparison is exact.
    monkeypatch.setattr(Tensor, "bfloat16", lambda self: self)
    ours, goal = problem()
    theirs, _ = problem()
    mine = Muon(ours, learning_rate=0.02, weight_decay=0.1)
    reference = torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95)
    for step in range(20):
        gradients(ours, goal, step)
        gradients(theirs, goal, step)
        mine.step()
        reference.step()
    for a, b in zip(ours, theirs, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-6, atol=1e-7)  # theirs clamps, ours adds eps


def test_a_parameter_without_a_gradient_is_named_as_a_mistake() -> None:
    parameter = nn.Parameter(torch.ones(2, 2))
    for optimizer in (AdamW([parameter], learning_rate=1), Muon([parameter], learning_rate=1)):
        with pytest.raises(ValueError, match="no gradient"):
            optimizer.step()
    with pytest.raises(ValueError, match="matrices"):
        Muon([nn.Parameter(torch.ones(2))], learning_rate=1)
