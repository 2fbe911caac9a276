"""Checks of `groundup.tuning.prefix_tuning`. Oracles: the layout place by place, real tokens."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from groundup.course.grader.compare import CheckFailure, assert_close, assert_equal

EXACT = {"rtol": 0.0, "atol": 0.0}
LAYERS, HEADS, D, V = 3, 2, 4, 5


class Store:
    """A cache that appends, and notes how far it was advanced."""

    def __init__(self) -> None:
        self.length, self.held = 0, dict[int, tuple[Tensor, Tensor]]()

    def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if layer in self.held:
            own = self.held[layer]
            k, v = torch.cat((own[0], k), 2), torch.cat((own[1], v), 2)
        self.held[layer] = (k, v)
        return k, v

    def advance(self, tokens: int) -> None:
        self.length += tokens


def numbered(layers: int = LAYERS) -> Tensor:
    """A weight whose every entry is another."""
    size = V * 2 * layers * HEADS * D
    return torch.arange(size, dtype=torch.float32).view(V, -1)


def entry(weight: Tensor, row: int) -> Tensor:
    """The (H, V, D) that lies in a row of all positions' heads."""
    found = torch.empty(HEADS, V, D)
    for h in range(HEADS):
        for v in range(V):
            for d in range(D):
                found[h, v, d] = weight[v, row * HEADS * D + h * D + d]
    return found


def given(part: ModuleType, weight: Tensor, **options: Any) -> Any:
    layers = weight.shape[1] // (2 * HEADS * D)
    prefix = part.Prefix(layers, HEADS, D, V, **options)
    with torch.no_grad():
        prefix.weight.copy_(weight)
    return prefix


class Tiny:
    """A layer of attention with positions that are added, which reads what a cache gives."""

    def __init__(self) -> None:
        double = torch.float64
        self.words = torch.randn(20, HEADS * D, dtype=double)
        self.places = torch.randn(16, HEADS * D, dtype=double)
        self.qkv = torch.randn(HEADS * D, 3 * HEADS * D, dtype=double) / 2

    def read(self, ids: Tensor, cache: Any) -> Tensor:
        B, T = ids.shape
        x = self.words[ids] + self.places[cache.length : cache.length + T]
        q, k, v = (x @ self.qkv).view(B, T, 3 * HEADS, D).transpose(1, 2).chunk(3, 1)
        k, v = cache.write(0, k, v)
        cache.advance(T)
        S = k.shape[2]
        scores = (q @ k.mT).masked_fill(torch.ones(T, S).triu(S - T + 1) > 0, float("-inf"))
        found: Tensor = (scores.softmax(-1) @ v).transpose(1, 2).reshape(B, T, -1)
        return found


def check_weight(part: ModuleType) -> None:
    """One parameter of zeros: for each position all layers' keys and values"""
    prefix = part.Prefix(LAYERS, HEADS, D, V)
    found = {name: tuple(p.shape) for name, p in prefix.named_parameters() if p.requires_grad}
    assert_equal(found, {"weight": (V, 2 * LAYERS * HEADS * D)}, "the parameters that are trained")
    zeros = torch.zeros(V, 2 * LAYERS * HEADS * D)
    assert_close(prefix.weight.detach(), zeros, what="the weight at first", **EXACT)


def check_layout(part: ModuleType) -> None:
    """keys_values: a layer's key comes before its value, layer after layer"""
    weight = numbered()
    expected = [entry(weight, row) for row in range(2 * LAYERS)]
    prefix = given(part, weight)
    for layer in range(LAYERS):
        for which, got in enumerate(prefix.keys_values(layer)):
            what = f"the {('keys', 'values')[which]} of layer {layer}"
            assert_close(got.detach(), expected[2 * layer + which], what=what, **EXACT)


def check_doubled_layout(part: ModuleType) -> None:
    """doubled: a layer takes four rows, begun again where they end, and uses the first two"""
    for layers, rows in ((4, (0, 4, 0, 4)), (3, (0, 4, 2))):
        weight = numbered(layers)
        expected = [(entry(weight, row), entry(weight, row + 1)) for row in rows]
        prefix = given(part, weight, doubled=True)
        for layer, wants in enumerate(expected):
            for got, want in zip(prefix.keys_values(layer), wants, strict=True):
                what = f"what layer {layer} of {layers} has"
                assert_close(got.detach(), want, what=what, **EXACT)


def check_begin_with(part: ModuleType) -> None:
    """begin_with: each layer's keys and values are taken over"""
    recorded = [(torch.randn(1, HEADS, V, D), torch.randn(1, HEADS, V, D)) for _ in range(LAYERS)]
    expected = [(k[0].clone(), v[0].clone()) for k, v in recorded]
    prefix = part.Prefix(LAYERS, HEADS, D, V)
    prefix.begin_with(recorded)
    for layer, wants in enumerate(expected):
        for got, want in zip(prefix.keys_values(layer), wants, strict=True):
            assert_close(got.detach(), want, what=f"what layer {layer} has", **EXACT)


def check_training(part: ModuleType) -> None:
    """cache(None): as if V positions were held; the text's own are not kept"""
    weight = numbered() / 100
    expected = [entry(weight, row).expand(2, -1, -1, -1) for row in range(2 * LAYERS)]
    prefix = given(part, weight)
    cache = prefix.cache(None, 2, torch.float32)
    assert_equal(cache.length, V, "the length of the cache")
    for _ in range(2):  # the second text finds the prefix alone again
        for layer in range(LAYERS):
            k, v = torch.randn(2, HEADS, 3, D), torch.randn(2, HEADS, 3, D)
            got = cache.write(layer, k, v)
            for name, found, own, new in zip(
                "kv", got, expected[2 * layer :], (k, v), strict=False
            ):
                want = torch.cat((own, new), 2)
                assert_close(found.detach(), want, what=f"{name} of layer {layer}", **EXACT)
        cache.advance(3)
        assert_equal(cache.length, V, "the length after a text")


def check_gradients(part: ModuleType) -> None:
    """Gradients reach the weight, summed over the batch"""
    weight = torch.randn(V, 2 * LAYERS * HEADS * D)
    sizes = torch.randn(2, 2, HEADS, V + 1, D)
    prefix = given(part, weight)
    cache = prefix.cache(None, 2, torch.float32)
    zeros = torch.zeros(2, HEADS, 1, D)
    k, v = cache.write(1, zeros, zeros)
    ((k * sizes[0]).sum() + (v * sizes[1]).sum()).backward()
    expected = torch.zeros(V, 2 * LAYERS, HEADS, D)
    expected[:, 2] = sizes[0][:, :, :V].sum(0).transpose(0, 1)
    expected[:, 3] = sizes[1][:, :, :V].sum(0).transpose(0, 1)
    assert_close(prefix.weight.grad, expected.view(V, -1), rtol=1e-5, atol=1e-6,
                 what="the weight's gradient")  # fmt: skip


def check_use(part: ModuleType) -> None:
    """cache(an empty one): it takes up the prefix, and is advanced by V"""
    weight = numbered()
    expected = [entry(weight, row).expand(3, -1, -1, -1) for row in range(2 * LAYERS)]
    prefix, store = given(part, weight), Store()
    got = prefix.cache(store, 3, torch.float32)
    if got is not store:
        raise CheckFailure("the cache that comes back is another one: expected the one given")
    assert_equal(store.length, V, "the length of the cache")
    assert_equal(sorted(store.held), list(range(LAYERS)), "the layers that were written")
    for layer, (k, v) in store.held.items():
        assert_close(k.detach(), expected[2 * layer], what=f"k of layer {layer}", **EXACT)
        assert_close(v.detach(), expected[2 * layer + 1], what=f"v of layer {layer}", **EXACT)


def check_as_real_tokens(part: ModuleType) -> None:
    """Begun with a text's keys and values, it acts as that text would"""
    model, ids = Tiny(), torch.randint(20, (2, V + 4))
    ids[1, :V] = ids[0, :V]
    expected = model.read(ids, Store())[:, V:]
    first = Store()
    model.read(ids[:1, :V], first)
    recorded = [first.held[0]]
    prefix = part.Prefix(1, HEADS, D, V).double()
    prefix.begin_with(recorded)
    for name, cache in (("training", None), ("use", Store())):
        got = model.read(ids[:, V:], prefix.cache(cache, 2, torch.float64))
        assert_close(got.detach(), expected, rtol=1e-9, atol=1e-10, what=f"the output in {name}")


def check_narrow_dtypes(part: ModuleType) -> None:
    """Keys and values in the model's dtype, the weight in float32"""
    prefix = given(part, numbered() / 7)
    assert_equal(str(prefix.weight.dtype), "torch.float32", "the dtype of the weight")
    narrow, store = torch.zeros(1, HEADS, 1, D, dtype=torch.bfloat16), Store()
    k, v = prefix.cache(None, 1, torch.bfloat16).write(0, narrow, narrow)
    prefix.cache(store, 1, torch.bfloat16)
    kinds = {str(t.dtype) for t in (k, v, *store.held[0])}
    assert_equal(kinds, {"torch.bfloat16"}, "the dtypes of keys and values")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: a cache of 30 layers takes up ``size`` virtual tokens."""
    prefix = part.Prefix(30, 3, 64, size)
    return torch.no_grad()(lambda: prefix.cache(Store(), 8, torch.float32))


SIZE = 64
