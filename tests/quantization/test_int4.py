"""4-bit integers in groups, and the two ways to lose less by them."""

import gguf
import pytest
import torch
from gguf import GGMLQuantizationType

from groundup.models.dequantize import Q4_1, dequantize_q4_1
from groundup.quantization.awq import awq_scale
from groundup.quantization.calibration import calibrated
from groundup.quantization.gptq import gptq
from groundup.quantization.grouped_int4 import GroupedInt4, grid
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.int4_grids import symmetric_grid, zero_point_grid


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def correlated(rows: int, columns: int, seed: int = 5) -> torch.Tensor:
    """Inputs that depend on each other and differ in size, as a model's do."""
    size = 10 ** normal(columns, seed=seed).clamp(-1.5, 1.5)
    return (
        normal(rows, columns // 3, seed=seed) @ normal(columns // 3, columns, seed=seed + 1) * size
    )


def test_a_group_is_rounded_to_its_own_levels() -> None:
    weight = normal(6, 96)
    quantised = GroupedInt4.of(weight)
    error = (quantised.dequantize() - weight).abs().view(6, 3, 32)
    # Half a step, and what float16 loses of the minimum.
    assert (error <= quantised.scale[..., None] * 0.5 + 0.004).all()
    assert quantised.q.view(6, 3, 32).amax(2).ge(14).all()


def test_ggml_reads_it_as_q4_1() -> None:
    quantised = GroupedInt4.of(normal(4, 64))
    blocks = torch.zeros(8, dtype=torch.uint8).numpy().repeat(Q4_1.itemsize)[: 8 * Q4_1.itemsize]
    blocks = blocks.view(Q4_1)
    q = quantised.q.view(8, 32)
    blocks["scale"] = quantised.scale.flatten().numpy()
    blocks["minimum"] = quantised.minimum.flatten().numpy()
    blocks["q"] = (q[:, :16] | q[:, 16:] << 4).numpy()
    expected = torch.from_numpy(dequantize_q4_1(blocks)).view(4, 64)
    assert torch.equal(quantised.dequantize(), expected)


@pytest.mark.parametrize("seed", range(4))
def test_gptq_changes_the_outputs_less_than_rounding(seed: int) -> None:
    weight, x = normal(32, 128, seed=seed), correlated(400, 128, seed=seed + 10)
    exact = x.double() @ weight.double().T
    rounded, better = (
        (x.double() @ q.dequantize().double().T - exact).square().mean().item()
        for q in (GroupedInt4.of(weight), gptq(weight, x.T @ x))
    )
    assert better < 0.7 * rounded


def test_weights_of_inputs_that_are_always_zero() -> None:
    x = correlated(100, 64)
    x[:, 7] = 0
    assert gptq(normal(4, 64), x.T @ x).dequantize()[:, 7].abs().max() < 0.2


def test_what_gptq_refuses() -> None:
    weight = normal(4, 64)
    with pytest.raises(ValueError, match=r"is \(64, 64\), got \(32, 32\)"):
        gptq(weight, torch.eye(32))
    with pytest.raises(ValueError, match="multiple"):
        gptq(weight, torch.eye(64), group=48)
    with pytest.raises(ValueError, match="no Cholesky decomposition"):
        gptq(weight, -torch.eye(64))
    with pytest.raises(ValueError, match="no Cholesky decomposition"):
        gptq(weight, torch.full((64, 64), torch.nan))


def test_awq_spares_the_weights_of_large_inputs() -> None:
    weight, x = normal(48, 128), normal(300, 128, seed=1)
    x[:, ::40] *= 30
    scale = awq_scale(x, [weight])
    exact = x @ weight.T
    rounded = GroupedInt4.of(weight).dequantize()
    scaled = GroupedInt4.of(weight * scale).dequantize() / scale
    plain, better = ((x @ w.T - exact).square().mean().item() for w in (rounded, scaled))
    assert better < 0.5 * plain
    assert scale[0] > scale[1]


def test_awq_leaves_alone_what_it_cannot_better() -> None:
    x = torch.ones(4, 32)
    assert torch.equal(awq_scale(x, [normal(4, 32)]), torch.ones(32))
    with pytest.raises(ValueError, match="do not fit"):
        awq_scale(x, [normal(4, 31)])


def test_calibration_sees_what_the_layers_read() -> None:
    model = torch.nn.Sequential(torch.nn.Linear(8, 6), torch.nn.ReLU(), torch.nn.Linear(6, 2))
    x = normal(3, 5, 8)
    layers = [(n, m) for n, m in model.named_modules() if isinstance(m, torch.nn.Linear)]
    with torch.no_grad(), calibrated(layers) as seen:
        for batch in x:
            model(batch)
    with torch.no_grad():
        model(x[0])  # nobody watches any more
    flat = x.reshape(-1, 8)
    torch.testing.assert_close(seen["0"].hessian, flat.T @ flat)
    torch.testing.assert_close(seen["0"].largest, flat.abs().amax(0))
    torch.testing.assert_close(torch.cat(seen["0"].rows), flat)
    assert seen["2"].count == 15
    assert seen["2"].hessian.shape == (6, 6)


@pytest.mark.parametrize("group", [32, 64])
def test_the_symmetric_grid_is_ggmls(group: int) -> None:
    """Values equal those of the `gguf` package, which rounds and stores as GGML does."""
    weight = normal(6, 4 * group)
    quantised = GroupedInt4.of(weight, group, symmetric_grid)
    assert torch.equal(quantised.minimum, -8 * quantised.scale)
    if group == 32:
        theirs = gguf.quants.quantize(weight.numpy(), GGMLQuantizationType.Q4_0)
        expected = torch.from_numpy(gguf.quants.dequantize(theirs, GGMLQuantizationType.Q4_0))
        step = quantised.scale.abs().repeat_interleave(32, 1)
        differs = (quantised.dequantize() - expected).abs() > step / 1000
        assert differs.float().mean() < 0.002  # a tie may fall to the other side
    zeros = GroupedInt4.of(torch.zeros(2, group), group, symmetric_grid)
    assert not zeros.dequantize().any()


def test_the_zero_point_grid_has_zero_as_a_level() -> None:
    weight = normal(6, 96)
    weight[0] += 9  # a group far from zero is widened to it
    quantised = GroupedInt4.of(weight, 32, zero_point_grid)
    zero = -quantised.minimum / quantised.scale
    assert torch.equal(zero, zero.round())
    assert 0 <= zero.min() <= zero.max() <= 15
    error = (quantised.dequantize() - weight).abs().view(6, 3, 32)
    assert (error[1:] <= quantised.scale[1:, :, None] * 1.0001).all()  # zero moves by half a level
    assert GroupedInt4.of(torch.zeros(1, 32), 32, zero_point_grid).dequantize().eq(0).all()


def test_scales_beyond_float16_are_refused() -> None:
    weight = torch.zeros(1, 32)
    weight[0, 3] = -2e6
    for levels in (grid, symmetric_grid, zero_point_grid):
        with pytest.raises(ValueError, match="does not fit in float16"):
            GroupedInt4.of(weight, 32, levels)
    with pytest.raises(ValueError, match="does not fit in float16"):
        GroupedInt8.of(weight * 100, 32)
    assert GroupedInt8.of(weight * 100).dequantize()[0, 3] == -2e8  # a row's scale is a float32


@pytest.mark.parametrize("sign", [1, -1])
def test_a_zero_points_levels_reach_from_zero_to_weights_of_one_sign(sign: int) -> None:
    weight = sign * torch.linspace(1, 2, 32)[None]
    error = (GroupedInt4.of(weight, 32, zero_point_grid).dequantize() - weight).abs().max()
    assert error < 0.51 * 2 / 15  # half a step of levels from 0 to 2
