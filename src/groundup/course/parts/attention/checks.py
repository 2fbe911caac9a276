"""Checks of `groundup.models.attention`. Oracles: torch's fused operation, invariants."""

from collections.abc import Callable
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.course.grader.compare import assert_close, assert_raises

FLOAT32 = {"rtol": 1e-4, "atol": 1e-6}


def inputs(
    B: int, H: int, H_kv: int, T: int, S: int, D: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor, Tensor]:
    q = torch.randn(B, H, T, D, dtype=dtype)
    k, v = torch.randn(2, B, H_kv, S, D, dtype=dtype)
    return q, k, v


def oracle(q: Tensor, k: Tensor, v: Tensor, causal: bool = True) -> Tensor:
    T, S = q.shape[2], k.shape[2]
    mask = torch.ones(T, S, dtype=torch.bool).tril(S - T) if causal else None
    return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, enable_gqa=True)


def check_multi_head(part: ModuleType) -> None:
    """Multi-head: equals torch's fused attention"""
    q, k, v = inputs(2, 4, 4, 7, 7, 16)
    expected = oracle(q, k, v)
    assert_close(part.attention(q, k, v), expected, what="the output", **FLOAT32)


def check_grouped_queries(part: ModuleType) -> None:
    """Grouped queries: query heads share key/value heads in order"""
    cases = [inputs(2, 6, H_kv, 5, 5, 8) for H_kv in (3, 2, 1)]
    expected = [oracle(*case) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        what = f"the output for 6 query heads and {case[1].shape[1]} key/value heads"
        assert_close(part.attention(*case), want, what=what, **FLOAT32)


def check_queries_are_the_last_positions(part: ModuleType) -> None:
    """With a cache: T queries are the last T of S positions"""
    cases = [inputs(1, 4, 2, T, S, 8) for T, S in ((1, 1), (1, 9), (3, 9), (8, 9))]
    expected = [oracle(*case) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        T, S = case[0].shape[2], case[1].shape[2]
        assert_close(part.attention(*case), want, what=f"the output for T={T}, S={S}", **FLOAT32)


def check_without_causal_mask(part: ModuleType) -> None:
    """causal=False: every query sees every key, also with T > S"""
    cases = [inputs(2, 4, 2, T, S, 8) for T, S in ((5, 5), (7, 3), (3, 7))]
    expected = [oracle(*case, causal=False) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        T, S = case[0].shape[2], case[1].shape[2]
        got = part.attention(*case, causal=False)
        assert_close(got, want, what=f"the output for T={T}, S={S}", **FLOAT32)


def check_long_sequences(part: ModuleType) -> None:
    """Long sequences: the first, middle and last positions are right"""
    cases = [inputs(1, 2, 1, T, S, 8) for T, S in ((300, 300), (257, 700))]
    expected = [oracle(*case) for case in cases]
    for case, want in zip(cases, expected, strict=True):
        T, S = case[0].shape[2], case[1].shape[2]
        assert_close(part.attention(*case), want, what=f"the output for T={T}, S={S}", **FLOAT32)


def check_large_scores(part: ModuleType) -> None:
    """Large scores neither overflow nor turn into NaN"""
    q, k, v = inputs(1, 2, 2, 6, 6, 8)
    q, k = 60 * q, 60 * k
    expected = oracle(q.double(), k.double(), v.double()).float()
    assert_close(part.attention(q, k, v), expected, rtol=1e-3, atol=1e-4)


def check_bfloat16(part: ModuleType) -> None:
    """bfloat16 in, bfloat16 out, near the exact result"""
    cases = [inputs(2, 4, 2, T, 40, 16, torch.bfloat16) for T in (40, 1)]
    expected = [
        oracle(case[0].double(), case[1].double(), case[2].double()).bfloat16() for case in cases
    ]
    for case, want in zip(cases, expected, strict=True):
        assert_close(part.attention(*case), want, rtol=0.02, atol=0.02)


def check_gradients(part: ModuleType) -> None:
    """Gradients of q, k and v, in float64"""
    q, k, v = (x.requires_grad_() for x in inputs(2, 4, 2, 5, 6, 8, torch.float64))
    weight = torch.randn(2, 4, 5, 8, dtype=torch.float64)
    expected = torch.autograd.grad((oracle(q, k, v) * weight).sum(), (q, k, v))
    got = torch.autograd.grad((part.attention(q, k, v) * weight).sum(), (q, k, v))
    for name, actual, want in zip("qkv", got, expected, strict=True):
        assert_close(actual, want, rtol=1e-9, atol=1e-12, what=f"the gradient of {name}")


def check_new_values_in_the_same_tensor(part: ModuleType) -> None:
    """The same tensors with new values give a new result"""
    q, k, v = inputs(1, 2, 2, 4, 4, 8)
    first = oracle(q, k, v)
    changed = oracle(q, k, -v)
    assert_close(part.attention(q, k, v), first, what="at first, the output", **FLOAT32)
    v.neg_()
    assert_close(part.attention(q, k, v), changed, what="after v changed, the output", **FLOAT32)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that do not fit raise ValueError"""
    q, k, v = inputs(1, 4, 2, 3, 5, 8)
    cases = {
        "v is shorter than k": (q, k, v[:, :, :4]),
        "q and k differ in D": (q[..., :4], k, v),
        "q and k differ in B": (q.expand(2, -1, -1, -1), k, v),
        "3 query heads share 2 key/value heads": (q[:, :3], k, v),
        "there are 3 causal queries and 2 keys": (q, k[:, :, :2], v[:, :, :2]),
    }
    for when, case in cases.items():
        assert_raises(ValueError, lambda case=case: part.attention(*case), when)  # type: ignore[misc]


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: T = S = size in a model of SmolLM2's shape."""
    q, k, v = inputs(1, 9, 3, size, size, 64)
    return lambda: part.attention(q, k, v)


SIZE = 512
