"""Checks of `groundup.models.flash_attention`. Oracle: torch's fused operation in float64."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_raises,
    unchanged,
)

FLOAT32 = {"rtol": 1e-4, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-11}


def inputs(
    B: int, H: int, H_kv: int, T: int, S: int, D: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    k, v = torch.randn(2, B, H_kv, S, D, dtype=dtype)
    return torch.randn(B, H, T, D, dtype=dtype), k, v


def oracle(q: Tensor, k: Tensor, v: Tensor, causal: bool = True) -> Tensor:
    T, S = q.shape[2], k.shape[2]
    mask = torch.ones(T, S, dtype=torch.bool).tril(S - T) if causal else None
    wide = F.scaled_dot_product_attention(
        q.double(), k.double(), v.double(), attn_mask=mask, enable_gqa=True
    )
    return wide.to(q.dtype)


def compare(part: ModuleType, cases: list[tuple[tuple[Tensor, Tensor, Tensor], bool]]) -> None:
    expected = [oracle(*case, causal=causal) for case, causal in cases]
    for (case, causal), want in zip(cases, expected, strict=True):
        shapes = f"q {tuple(case[0].shape)}, k {tuple(case[1].shape)}, causal={causal}"
        got = part.flash_attention(*case, causal=causal)
        assert_close(got, want, what=f"the output for {shapes}", **FLOAT32)


def check_one_tile(part: ModuleType) -> None:
    """Short sequences, of less than a tile"""
    compare(part, [(inputs(2, 3, 3, T, T, 8), causal) for T in (1, 7) for causal in (True, False)])


def check_many_tiles(part: ModuleType) -> None:
    """Several tiles, whole ones and the rest of one"""
    lengths = ((64, 64), (128, 128), (150, 150), (70, 200))
    compare(part, [(inputs(1, 2, 2, T, S, 8), c) for T, S in lengths for c in (True, False)])


def check_queries_are_the_last_positions(part: ModuleType) -> None:
    """With a cache: T queries are the last T of S positions"""
    compare(part, [(inputs(1, 2, 2, T, S, 8), True) for T, S in ((1, 90), (3, 130), (65, 193))])


def check_grouped_queries(part: ModuleType) -> None:
    """Grouped queries: query heads share key/value heads in order"""
    compare(part, [(inputs(2, 6, H_kv, 70, 80, 8), True) for H_kv in (3, 2, 1)])


def check_large_scores(part: ModuleType) -> None:
    """Scores that rise and fall from tile to tile neither overflow nor are forgotten"""
    q, k, v = inputs(1, 2, 2, 5, 320, 8)
    k = k * torch.tensor([1.0, 40.0, 0.1, 90.0, 3.0]).repeat_interleave(64)[:, None]
    expected = [oracle(q, x, v, causal=False) for x in (k, k.flip(2), -60 * k)]
    for x, want in zip((k, k.flip(2), -60 * k), expected, strict=True):
        got = part.flash_attention(q, x, v, causal=False)
        assert_close(got, want, what="the output for large scores", rtol=1e-3, atol=1e-4)


def check_narrow_dtypes(part: ModuleType) -> None:
    """bfloat16 in and out, summed wider; float64 stays float64"""
    narrow = inputs(1, 2, 1, 200, 200, 16, torch.bfloat16)
    exact = inputs(1, 2, 1, 70, 70, 8, torch.float64)
    expected, want = oracle(*narrow), oracle(*exact)
    what = "the output in bfloat16"
    assert_close(part.flash_attention(*narrow), expected, what=what, rtol=0.01, atol=0.004)
    got = part.flash_attention(*exact)
    assert_close(got, want, what="the output in float64", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients of q, k and v, in float64: groups, tiles, a cache, with and without the mask"""
    cases = [
        (inputs(2, 4, 2, 5, 6, 8, torch.float64), True),
        (inputs(1, 4, 2, 100, 150, 8, torch.float64), True),
        (inputs(1, 2, 2, 130, 70, 4, torch.float64), False),
    ]
    sizes = [torch.randn_like(case[0]) for case, _ in cases]
    expected = []
    for (case, causal), size in zip(cases, sizes, strict=True):
        leaves = [x.clone().requires_grad_() for x in case]
        q, k, v = leaves
        expected.append(torch.autograd.grad((oracle(q, k, v, causal) * size).sum(), leaves))
    for (case, causal), size, want in zip(cases, sizes, expected, strict=True):
        leaves = [x.clone().requires_grad_() for x in case]
        q, k, v = leaves
        got = torch.autograd.grad(
            (part.flash_attention(q, k, v, causal=causal) * size).sum(), leaves
        )
        for name, actual, wanted in zip("qkv", got, want, strict=True):
            what = f"the gradient of {name} for T={q.shape[2]}, S={k.shape[2]}, causal={causal}"
            assert_close(actual, wanted, what=what, **FLOAT64)


def check_memory(part: ModuleType) -> None:
    """No T * S numbers are kept for the backward pass"""
    q, k, v = (x.requires_grad_() for x in inputs(1, 1, 1, 512, 512, 8))
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        out = part.flash_attention(q, k, v)
    out.sum().backward()
    for name, leaf in (("q", q), ("k", k), ("v", v)):
        if leaf.grad is None:
            raise CheckFailure(f"no gradient reaches {name}")
    most = 8 * q.numel()  # q, k, v, the output, and some numbers for each query
    if kept > most:
        raise CheckFailure(
            f"{kept:,} numbers are kept for the backward pass of 512 queries and keys with 8 "
            f"features: expected at most {most:,}; compute tiles of weights again instead"
        )


def check_inputs_unchanged(part: ModuleType) -> None:
    """q, k and v are not changed, forward or backward"""
    q, k, v = (x.requires_grad_() for x in inputs(1, 2, 1, 70, 70, 8))
    with unchanged(q=q, k=k, v=v):
        part.flash_attention(q, k, v).sum().backward()


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensors with new values give a new result"""
    q, k, v = inputs(1, 2, 2, 70, 70, 8)
    first, changed = oracle(q, k, v), oracle(q, k, -v)
    assert_close(part.flash_attention(q, k, v), first, what="at first, the output", **FLOAT32)
    v.neg_()
    got = part.flash_attention(q, k, v)
    assert_close(got, changed, what="after v changed, the output", **FLOAT32)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit raise ValueError"""
    q, k, v = inputs(1, 4, 2, 3, 5, 8)
    cases: dict[str, Any] = {
        "v is shorter than k": (q, k, v[:, :, :4]),
        "q and k differ in D": (q[..., :4], k, v),
        "q and k differ in B": (q.expand(2, -1, -1, -1), k, v),
        "3 query heads share 2 key/value heads": (q[:, :3], k, v),
        "there are 3 causal queries and 2 keys": (q, k[:, :, :2], v[:, :, :2]),
    }
    for when, case in cases.items():
        assert_raises(ValueError, lambda case=case: part.flash_attention(*case), when)  # type: ignore[misc]


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: T = S = size in a model of SmolLM2's shape."""
    q, k, v = inputs(1, 9, 3, size, size, 64)
    return lambda: part.flash_attention(q, k, v)


SIZE = 512
