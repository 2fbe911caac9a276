"""Checks of `groundup.models.multi_head_attention`. Oracle: torch's own multi-head attention."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from groundup.course.grader.compare import assert_close, assert_equal, assert_raises, unchanged

FLOAT32 = {"rtol": 1e-4, "atol": 1e-6}
FLOAT64 = {"rtol": 1e-9, "atol": 1e-12}
C, H = 24, 4


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Of all four projections, large enough that a wrong detail shows."""
    state = {}
    for name in ("q_proj", "k_proj", "v_proj", "out_proj"):
        state[f"{name}.weight"] = torch.randn(C, C, dtype=dtype) / C**0.5
        state[f"{name}.bias"] = torch.randn(C, dtype=dtype)
    return state


def oracle(
    state: dict[str, Tensor], x: Tensor, memory: Tensor, bias: Tensor | None = None
) -> Tensor:
    layer = nn.MultiheadAttention(C, H, batch_first=True, dtype=x.dtype)
    joined = {
        f"in_proj_{kind}": torch.cat([state[f"{p}_proj.{kind}"] for p in "qkv"])
        for kind in ("weight", "bias")
    }
    outer = {f"out_proj.{kind}": state[f"out_proj.{kind}"] for kind in ("weight", "bias")}
    if bias is not None:
        bias = bias.expand(len(x), H, x.shape[1], memory.shape[1]).flatten(0, 1)
    options = {"attn_mask": bias, "need_weights": False}
    out, _ = torch.func.functional_call(layer, joined | outer, (x, memory, memory), options)
    assert isinstance(out, Tensor)
    return out


def layer_with(part: ModuleType, state: dict[str, Tensor]) -> Any:
    layer = part.MultiHeadAttention(C, H).to(state["q_proj.weight"].dtype)
    layer.load_state_dict(state)
    return layer


def check_parameters(part: ModuleType) -> None:
    """The four projections have their names and shapes, also of narrow heads without biases"""
    layer = part.MultiHeadAttention(C, H)
    names = ("q_proj", "k_proj", "v_proj", "out_proj")
    want: dict[str, tuple[int, ...]] = {f"{name}.weight": (C, C) for name in names}
    want |= {f"{name}.bias": (C,) for name in names}
    assert_equal(shapes(layer), dict(sorted(want.items())), "the layer's state")
    narrow = part.MultiHeadAttention(C, H, head_dim=3, bias=False)
    want = {f"{p}.weight": (12, C) for p in ("q_proj", "k_proj", "v_proj")}
    want["out_proj.weight"] = (C, 12)
    assert_equal(shapes(narrow), dict(sorted(want.items())), "the state for head_dim=3, bias=False")


def shapes(layer: nn.Module) -> dict[str, tuple[int, ...]]:
    return {name: tuple(w.shape) for name, w in sorted(layer.state_dict().items())}


def check_self_attention(part: ModuleType) -> None:
    """Self-attention equals torch's"""
    state, x = weights(), torch.randn(2, 7, C)
    expected = oracle(state, x, x)
    layer = layer_with(part, state)
    assert_close(layer(x, *layer.keys_values(x)), expected, what="the output", **FLOAT32)


def check_cross_attention(part: ModuleType) -> None:
    """Cross-attention: other keys and values, more or fewer than queries"""
    state, x = weights(), torch.randn(2, 5, C)
    memories = [torch.randn(2, S, C) for S in (1, 5, 9)]
    expected = [oracle(state, x, memory) for memory in memories]
    layer = layer_with(part, state)
    for memory, want in zip(memories, expected, strict=True):
        what = f"the output for T=5, S={memory.shape[1]}"
        assert_close(layer(x, *layer.keys_values(memory)), want, what=what, **FLOAT32)


def check_keys_and_values(part: ModuleType) -> None:
    """keys_values: head h owns the features from h * D on"""
    state, memory = weights(), torch.randn(2, 5, C)
    flat = [memory @ state[f"{p}_proj.weight"].T + state[f"{p}_proj.bias"] for p in "kv"]
    expected = [x.view(2, 5, H, C // H).transpose(1, 2) for x in flat]
    got = layer_with(part, state).keys_values(memory)
    for name, actual, want in zip(("k", "v"), got, expected, strict=True):
        assert_close(actual, want, what=name, **FLOAT32)


def check_score_bias(part: ModuleType) -> None:
    """score_bias is added before the softmax, and hides by minus infinity"""
    state, x, memory = weights(), torch.randn(2, 5, C), torch.randn(2, 6, C)
    hidden = torch.zeros(2, 1, 1, 6)
    hidden[0, ..., 4:] = -torch.inf
    cases = {
        "each head and pair": torch.randn(1, H, 5, 6),
        "each sequence's padding": hidden,
        "all together": torch.randn(2, H, 5, 6) + hidden,
    }
    expected = {name: oracle(state, x, memory, bias) for name, bias in cases.items()}
    layer = layer_with(part, state)
    for name, bias in cases.items():
        got = layer(x, *layer.keys_values(memory), bias)
        assert_close(got, expected[name], what=f"the output with a bias of {name}", **FLOAT32)


def check_scale_and_width(part: ModuleType) -> None:
    """scale and head_dim: T5's layer, whose heads do not fill the width"""
    D = 3
    state = {f"{p}.weight": torch.randn(H * D, C).double() for p in ("q_proj", "k_proj", "v_proj")}
    state["out_proj.weight"] = torch.randn(C, H * D).double()
    x = torch.randn(2, 5, C).double()
    q, k, v = ((x @ state[f"{p}_proj.weight"].T).view(2, 5, H, D) for p in "qkv")
    expected = {}
    for scale in (None, 1.0, 0.1):
        scores = torch.einsum("bthd,bshd->bhts", q, k) * (D**-0.5 if scale is None else scale)
        heads = torch.einsum("bhts,bshd->bthd", scores.softmax(-1), v)
        expected[scale] = heads.flatten(2) @ state["out_proj.weight"].T
    for scale, want in expected.items():
        layer = part.MultiHeadAttention(C, H, head_dim=D, bias=False, scale=scale).double()
        layer.load_state_dict(state)
        got = layer(x, *layer.keys_values(x))
        assert_close(got, want, what=f"the output for scale={scale}", **FLOAT64)


def check_gradients(part: ModuleType) -> None:
    """Gradients of x, the memory, the bias and every weight, in float64"""
    state = weights(torch.float64)
    x, memory = torch.randn(2, 4, C).double(), torch.randn(2, 6, C).double()
    bias, sizes = torch.randn(2, H, 4, 6).double(), torch.randn(2, 4, C).double()
    leaves = {"x": x, "memory": memory, "score_bias": bias, **state}
    leaves = {name: leaf.clone().requires_grad_() for name, leaf in leaves.items()}
    inner = {name: leaves[name] for name in state}
    out = oracle(inner, leaves["x"], leaves["memory"], leaves["score_bias"])
    expected = torch.autograd.grad((out * sizes).sum(), list(leaves.values()))
    layer = layer_with(part, state)
    own = {"x": x, "memory": memory, "score_bias": bias}
    own = {name: leaf.requires_grad_() for name, leaf in own.items()}
    got_out = layer(x, *layer.keys_values(memory), bias)
    inputs = [*own.values(), *(layer.get_parameter(name) for name in state)]
    got = torch.autograd.grad((got_out * sizes).sum(), inputs, materialize_grads=True)
    for name, actual, want in zip(leaves, got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_padding_bias(part: ModuleType) -> None:
    """padding_bias: 0 for tokens, the lowest finite number for padding"""
    mask = torch.tensor([[True, True, False], [False, True, True], [False] * 3])
    for dtype in (torch.float32, torch.float64, torch.bfloat16):
        want = torch.zeros(3, 1, 1, 3, dtype=dtype)
        want[~mask[:, None, None]] = torch.finfo(dtype).min
        got = part.padding_bias(mask, dtype)
        assert_close(got, want, what=f"the bias in {dtype}", rtol=0, atol=0)
    assert_equal(str(part.padding_bias(mask).dtype), "torch.float32", "the dtype by default")


def check_causal_bias(part: ModuleType) -> None:
    """causal_bias: T queries are the last T of S positions"""
    for T, S in ((1, 1), (4, 4), (1, 6), (3, 6)):
        seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
        want = torch.zeros(T, S).masked_fill(~seen, -torch.inf)
        assert_close(
            part.causal_bias(T, S), want, what=f"the bias for T={T}, S={S}", rtol=0, atol=0
        )
    got = part.causal_bias(2, 2, torch.float64)
    assert_equal(str(got.dtype), "torch.float64", "the dtype asked for")


def check_inputs_unchanged(part: ModuleType) -> None:
    """Nothing that is passed in is changed"""
    x, bias, mask = torch.randn(2, 5, C), torch.randn(5, 5), torch.ones(2, 5, dtype=torch.bool)
    layer = part.MultiHeadAttention(C, H)
    k, v = layer.keys_values(x)
    with torch.no_grad(), unchanged(x=x, k=k, v=v, score_bias=bias, mask=mask):
        layer(x, k, v, bias)
        part.padding_bias(mask)


def check_bad_input(part: ModuleType) -> None:
    """Sizes and shapes that do not fit raise ValueError"""
    for dim, heads in ((0, 4), (24, 0), (25, 4), (-24, -4)):
        call = lambda d=dim, h=heads: part.MultiHeadAttention(d, h)  # noqa: E731
        assert_raises(ValueError, call, f"dim is {dim} and heads is {heads}")
    layer, x = part.MultiHeadAttention(C, H), torch.randn(2, 5, C)
    k, v = torch.randn(2, 2, H, 5, C // H)
    cases = {
        "v is shorter than k": (k, v[:, :, :4]),
        "k and v are of another batch": (k[:1], v[:1]),
        "k and v have another number of heads": (k[:, :2], v[:, :2]),
        "k and v have another number of features": (k[..., :3], v[..., :3]),
    }
    for when, pair in cases.items():
        assert_raises(ValueError, lambda pair=pair: layer(x, *pair), when)  # type: ignore[misc]
    assert_raises(ValueError, lambda: part.padding_bias(torch.ones(2, 3)), "the mask is not bool")
    flat = torch.ones(3, dtype=torch.bool)
    assert_raises(ValueError, lambda: part.padding_bias(flat), "the mask is of shape (3,)")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` queries over as many keys, in the base model's layer."""
    x, layer = torch.randn(1, size, 512), part.MultiHeadAttention(512, 8)
    return torch.no_grad()(lambda: layer(x, *layer.keys_values(x)))


SIZE = 128
