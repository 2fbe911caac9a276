"""NF4 and its scales against bitsandbytes, which others load and store them with."""

import bitsandbytes.functional as F
import pytest
import torch

from groundup.quantization.dynamic_code import dynamic_code
from groundup.quantization.nf4 import Nf4, QuantizedScales, nf4_code


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(0))


def test_the_code_is_theirs_bit_for_bit() -> None:
    assert torch.equal(nf4_code(), F.get_4bit_type("nf4", device="cpu"))
    assert torch.equal(dynamic_code(), F.create_dynamic_map().sort().values)


@pytest.mark.parametrize("shape", [(300, 512), (7, 64), (64,), (5, 37), (1, 1)])
def test_every_bit_is_theirs(shape: tuple[int, ...]) -> None:
    x = normal(*shape) * 3
    q, state = F.quantize_4bit(x, blocksize=64, quant_type="nf4")
    ours = Nf4.of(x, double=False)
    assert torch.equal(ours.packed, q.flatten())
    assert isinstance(ours.scales, torch.Tensor)
    assert torch.equal(ours.scales, state.absmax)
    assert torch.equal(ours.dequantize(), F.dequantize_4bit(q, state).view(shape))


def test_double_quantisation_is_theirs_where_theirs_is_nearest() -> None:
    """Everything is equal, except that their search takes the farther neighbour now and then."""
    x = normal(2000, 512)
    _, state = F.quantize_4bit(x, blocksize=64, quant_type="nf4", compress_statistics=True)
    ours = Nf4.of(x).scales
    assert isinstance(ours, QuantizedScales)
    assert torch.equal(ours.mean, state.offset)
    assert torch.equal(ours.scale, state.state2.absmax)
    assert torch.equal(dynamic_code(), state.state2.code)
    differs = ours.q != state.absmax
    assert differs.float().mean() < 0.005
    exact = Nf4.of(x, double=False).scales
    assert isinstance(exact, torch.Tensor)
    place = (exact - ours.mean) / ours.scale.repeat_interleave(256)[: len(exact)]
    near, far = (dynamic_code()[q.long()] for q in (ours.q[differs], state.absmax[differs]))
    assert ((near - place[differs]).abs() <= (far - place[differs]).abs() + 1e-7).all()


def test_the_published_error_on_normal_numbers() -> None:
    """0.0728, the mean absolute error at blocks of 64."""
    x = normal(1 << 22)
    assert abs((Nf4.of(x, double=False).dequantize() - x).abs().mean().item() - 0.0728) < 1e-4


def test_bits_of_a_weight() -> None:
    x = normal(1024, 1024)
    assert Nf4.of(x, double=False).bits == 4.5
    assert Nf4.of(x).bits == pytest.approx(4 + 8 / 64 + 32 / 64 / 256, abs=1e-4)  # QLoRA, section 3


def test_zeros_and_dtypes() -> None:
    x = torch.zeros(100)
    x[70] = 2
    restored = Nf4.of(x.bfloat16(), double=False).dequantize()
    assert restored.dtype == torch.bfloat16
    assert torch.equal(restored.float(), x)


@pytest.mark.parametrize("bad", [torch.tensor([1.0, torch.nan]), torch.tensor([torch.inf])])
def test_what_cannot_be_quantised(bad: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="NaN or infinity"):
        Nf4.of(bad)
    with pytest.raises(ValueError, match="empty"):
        Nf4.of(torch.empty(0, 4))
