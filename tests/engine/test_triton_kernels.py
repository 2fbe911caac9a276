"""The passes between products on a GPU against the plain model's modules."""

import pytest
import torch

from groundup.engine.triton_kernels import add_rms_norm, rotate_and_store, silu_multiply


def test_add_rms_norm(device: torch.device) -> None:
    torch.manual_seed(0)
    x, delta = torch.randn(2, 3, 20, device=device)
    weight = torch.randn(20, device=device)
    for added in (delta, None):
        total = x.clone() if added is None else x + added
        got = add_rms_norm(x, added, weight, 1e-3, torch.float16)
        expected = torch.nn.functional.rms_norm(total, (20,), weight, 1e-3)
        torch.testing.assert_close(x, total)
        torch.testing.assert_close(got, expected.half(), rtol=1e-3, atol=1e-3)


@pytest.mark.filterwarnings("ignore:overflow encountered in exp")  # 1 / (1 + infinity) is right
def test_silu_multiply(device: torch.device) -> None:
    torch.manual_seed(0)
    gate_up = torch.randn(2, 2 * 20, device=device)
    gate_up[0, :2] = torch.tensor([-200.0, 200.0])
    gate, up = gate_up.chunk(2, 1)
    torch.testing.assert_close(silu_multiply(gate_up), torch.nn.functional.silu(gate) * up)


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("norm", [True, False])
@pytest.mark.parametrize("turned", [True, False])
def test_rotate_and_store(device: torch.device, bias: bool, norm: bool, turned: bool) -> None:
    """By complex numbers: a pair of features is one, and a rotation is a product."""
    torch.manual_seed(0)
    N, H, H_kv, D, size = 3, 3, 2, 12, 4
    qkv = torch.randn(N, (H + 2 * H_kv) * D, device=device)
    b = torch.randn((H + 2 * H_kv) * D, device=device)
    norms = torch.rand(2, D, device=device) + 0.5
    angles = torch.randn(10, D // 2, device=device)
    tables = torch.tensor([[2, 0, 4], [3, 1, 5]], dtype=torch.int32, device=device)
    sequence_of = torch.tensor([1, 0, 0], dtype=torch.int32, device=device)
    positions = torch.tensor([9, 3, 4], dtype=torch.int32, device=device)
    slots = [(5, 1), (2, 3), (0, 0)]  # block, and place in it
    keys, values = torch.zeros(2, 6, H_kv, size, D, device=device)
    q = rotate_and_store(
        qkv, b if bias else None, norms if norm else None, 1e-3,
        (angles.cos(), angles.sin()) if turned else None,
        tables, sequence_of, positions, keys, values,
    )  # fmt: skip

    heads = (qkv + bias * b).double().view(N, H + 2 * H_kv, D)
    expected, new_keys, new_values = heads.split((H, H_kv, H_kv), 1)
    if norm:
        expected, new_keys = (
            x * (x.square().mean(-1, keepdim=True) + 1e-3).rsqrt() * w
            for x, w in zip((expected, new_keys), norms, strict=True)
        )
    if turned:
        turn = torch.polar(torch.ones_like(angles), angles)[positions.long(), None]
        expected, new_keys = (
            torch.cat(((z := torch.complex(*x.chunk(2, -1)) * turn).real, z.imag), -1)
            for x in (expected, new_keys)
        )
    torch.testing.assert_close(q.double(), expected, rtol=1e-5, atol=1e-5)
    for store, new in ((keys, new_keys), (values, new_values)):
        for row, (block, place) in enumerate(slots):
            got = store[block, :, place].double()
            torch.testing.assert_close(got, new[row], rtol=1e-5, atol=1e-5)
            store[block, :, place] = 0
        assert not store.any()  # nothing else was written
