"""Checks of `groundup.models.sliding_window`. Oracle: torch's fused operation with a mask."""

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


def oracle(q: Tensor, k: Tensor, v: Tensor, window: int) -> Tensor:
    T, S = q.shape[2], k.shape[2]
    seen = torch.ones(T, S, dtype=torch.bool).tril(S - T).triu(S - T - window + 1)
    return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)


def compare(part: ModuleType, cases: list[tuple[tuple[Tensor, Tensor, Tensor], int]]) -> None:
    expected = [oracle(*case, window) for case, window in cases]
    for (case, window), want in zip(cases, expected, strict=True):
        T, S = case[0].shape[2], case[1].shape[2]
        got = part.sliding_window_attention(*case, window=window)
        what = f"the output for T={T}, S={S}, window={window}"
        assert_close(got, want, what=what, **FLOAT32)


def check_windows(part: ModuleType) -> None:
    """A query sees its own key and the window - 1 before it"""
    case = inputs(2, 3, 3, 9, 9, 8)
    compare(part, [(case, window) for window in (1, 2, 5, 9, 100)])


def check_one_is_the_value_itself(part: ModuleType) -> None:
    """A window of one reads nothing but the token's own value"""
    q, k, v = inputs(1, 2, 2, 6, 6, 4)
    want = v.clone()
    assert_close(
        part.sliding_window_attention(q, k, v, window=1), want, what="the output", **FLOAT32
    )


def check_with_a_cache(part: ModuleType) -> None:
    """T queries are the last T of S positions"""
    cases = [(1, 1, 3), (1, 9, 3), (1, 9, 20), (4, 9, 3), (3, 300, 70)]
    compare(part, [(inputs(1, 2, 2, T, S, 8), window) for T, S, window in cases])


def check_long_sequences(part: ModuleType) -> None:
    """Long sequences: the first, middle and last positions are right"""
    cases = [(300, 300, 1), (300, 300, 50), (257, 400, 64), (257, 400, 65), (130, 130, 129)]
    compare(part, [(inputs(1, 2, 1, T, S, 8), window) for T, S, window in cases])


def check_grouped_queries(part: ModuleType) -> None:
    """Grouped queries: query heads share key/value heads in order"""
    compare(part, [(inputs(2, 6, H_kv, 20, 25, 8), 7) for H_kv in (3, 2, 1)])


def check_far_keys_have_no_influence(part: ModuleType) -> None:
    """Keys and values out of the window may be anything, also NaN"""
    q, k, v = inputs(1, 2, 2, 1, 400, 8)
    want = oracle(q, k[:, :, -10:], v[:, :, -10:], 10)
    k, v = k.clone(), v.clone()
    k[:, :, :-10], v[:, :, :-10] = torch.nan, torch.nan
    got = part.sliding_window_attention(q, k, v, window=10)
    assert_close(got, want, what="with NaN out of the window, the output", **FLOAT32)


def check_work(part: ModuleType) -> None:
    """Work and memory grow with T * window, not with T * S"""
    q, k, v = (x.requires_grad_() for x in inputs(1, 1, 1, 2048, 2048, 4))
    kept = 0

    def pack(tensor: Tensor) -> Tensor:
        nonlocal kept
        kept += tensor.numel()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        part.sliding_window_attention(q, k, v, window=16)
    most = 2048 * 2048 // 3
    if kept > most:
        raise CheckFailure(
            f"{kept:,} numbers are kept for the backward pass of 2,048 queries and a window of 16: "
            f"expected less than {most:,}; multiply each block of queries with the keys near it"
        )


def check_gradients(part: ModuleType) -> None:
    """Gradients of q, k and v, in float64"""
    case = inputs(2, 4, 2, 80, 90, 8, torch.float64)
    size = torch.randn_like(case[0])
    leaves = [x.clone().requires_grad_() for x in case]
    q, k, v = leaves
    expected = torch.autograd.grad((oracle(q, k, v, 13) * size).sum(), leaves)
    leaves = [x.clone().requires_grad_() for x in case]
    q, k, v = leaves
    out = part.sliding_window_attention(q, k, v, window=13)
    got = torch.autograd.grad((out * size).sum(), leaves, materialize_grads=True)
    for name, actual, want in zip("qkv", got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_inputs_unchanged(part: ModuleType) -> None:
    """q, k and v are not changed"""
    q, k, v = inputs(1, 2, 1, 70, 70, 8)
    with unchanged(q=q, k=k, v=v):
        part.sliding_window_attention(q, k, v, window=5)


def check_bad_input(part: ModuleType) -> None:
    """Windows and shapes that do not fit raise ValueError"""
    q, k, v = inputs(1, 4, 2, 3, 5, 8)
    cases: dict[str, tuple[Any, dict[str, Any]]] = {
        "window is 0": ((q, k, v), {"window": 0}),
        "window is -2": ((q, k, v), {"window": -2}),
        "causal is False": ((q, k, v), {"window": 2, "causal": False}),
        "v is shorter than k": ((q, k, v[:, :, :4]), {"window": 2}),
        "q and k differ in D": ((q[..., :4], k, v), {"window": 2}),
        "q and k differ in B": ((q.expand(2, -1, -1, -1), k, v), {"window": 2}),
        "3 query heads share 2 key/value heads": ((q[:, :3], k, v), {"window": 2}),
        "there are 3 queries and 2 keys": ((q, k[:, :, :2], v[:, :, :2]), {"window": 2}),
    }
    for when, (case, options) in cases.items():
        call = lambda c=case, o=options: part.sliding_window_attention(*c, **o)  # noqa: E731
        assert_raises(ValueError, call, when)


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: T = S = size in a model of SmolLM2's shape, a window of 128."""
    q, k, v = inputs(1, 9, 3, size, size, 64)
    return lambda: part.sliding_window_attention(q, k, v, window=128)


SIZE = 1024
