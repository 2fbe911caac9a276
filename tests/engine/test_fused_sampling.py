"""The compiled choice against the readable one, with the same random numbers."""

from itertools import product

import pytest
import torch

from groundup.engine.fused_sampling import sample
from groundup.engine.sampler import Sampler
from groundup.engine.sampling_params import SamplingParams


def scores_of(kind: str, generator: torch.Generator) -> torch.Tensor:
    normal = torch.randn(5000, generator=generator)
    if kind == "peaked":
        return normal * 6
    if kind == "flat":
        return normal * 0.05
    if kind == "ties":
        return (normal * 2).round()
    masked = normal * 3
    masked[torch.rand(5000, generator=generator) < 0.99] = -torch.inf
    return masked


@pytest.mark.parametrize("kind", ["peaked", "flat", "ties", "masked"])
def test_the_same_tokens_as_the_sampler(kind: str) -> None:
    generator = torch.Generator().manual_seed(0)
    draws = different = 0
    for temperature, k, p, m in product((0.3, 1.0, 3.0), (0, 1, 5, 300), (1.0, 0.9, 0.2), (0, 0.1)):
        params = SamplingParams(temperature, k, p, m, seed=draws)
        scores = scores_of(kind, generator)
        sampler, again = Sampler(params), Sampler(params)
        for _ in range(5):
            expected = sampler(scores, torch.tensor([]))
            u = torch.rand(1, dtype=torch.float64, generator=again.generator).item()
            draws += 1
            different += sample(scores.numpy(), params, u) != expected
    # Sums in float32 and in float64 part only where a number falls beside a border.
    assert different <= draws * 0.003


def test_the_ends_of_the_range() -> None:
    scores = torch.tensor([-torch.inf, 1.0, 2.0, -torch.inf, 0.5, -torch.inf])
    for params in (SamplingParams(1.0), SamplingParams(1.0, top_p=0.99), SamplingParams(1.0, 2)):
        assert sample(scores.numpy(), params, 0.0) == 1
        last = 2 if params.top_k else 4
        assert sample(scores.numpy(), params, 1 - 1e-12) == last
    assert sample(torch.tensor([3.0]).numpy(), SamplingParams(1.0), 0.7) == 0
