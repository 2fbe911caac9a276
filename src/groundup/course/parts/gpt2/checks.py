"""Checks of `groundup.models.gpt2`. Oracle: the same model, written in torch's functions."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.course.grader.joined_cache import JoinedCache

FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-8, "atol": 1e-10}
V, CONTEXT, C, LAYERS, HEADS = 31, 24, 12, 2, 3


def config(part: ModuleType, **changes: Any) -> Any:
    sizes = {"vocabulary": V, "context": CONTEXT, "dim": C, "layers": LAYERS, "heads": HEADS}
    return part.GPT2Config(**sizes | changes)


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every weight, under the name that it is stored under."""
    found: dict[str, tuple[int, ...]] = {"wte.weight": (V, C), "wpe.weight": (CONTEXT, C)}
    for layer in range(LAYERS):
        for name, shape in {
            "ln_1": (C,),
            "attn.c_attn": (3 * C, C),
            "attn.c_proj": (C, C),
            "ln_2": (C,),
            "mlp.c_fc": (4 * C, C),
            "mlp.c_proj": (C, 4 * C),
        }.items():
            found[f"h.{layer}.{name}.weight"] = shape
            found[f"h.{layer}.{name}.bias"] = shape[:1]
    return found | {"ln_f.weight": (C,), "ln_f.bias": (C,), "lm_head.weight": (V, C)}


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    state = {}
    for name, shape in shapes().items():
        size = 0.4 if len(shape) == 2 else 0.3
        state[name] = size * torch.randn(shape, dtype=dtype) + (
            ".ln" in name[:-7] and name.endswith("weight")
        )
    return state | {"lm_head.weight": state["wte.weight"]}


def oracle(ids: Tensor, w: dict[str, Tensor], eps: float = 1e-5) -> Tensor:
    """The last norm's output."""
    x = F.embedding(ids, w["wte.weight"]) + w["wpe.weight"][: ids.shape[1]]
    for layer in range(LAYERS):
        p = {k.removeprefix(f"h.{layer}."): v for k, v in w.items() if k.startswith(f"h.{layer}.")}
        n = F.layer_norm(x, (C,), p["ln_1.weight"], p["ln_1.bias"], eps)
        joined = F.linear(n, p["attn.c_attn.weight"], p["attn.c_attn.bias"])
        q, k, v = joined.view(*ids.shape, 3, HEADS, C // HEADS).permute(2, 0, 3, 1, 4)
        a = F.scaled_dot_product_attention(q, k, v, is_causal=True).transpose(1, 2).flatten(2)
        x = x + F.linear(a, p["attn.c_proj.weight"], p["attn.c_proj.bias"])
        n = F.layer_norm(x, (C,), p["ln_2.weight"], p["ln_2.bias"], eps)
        n = F.gelu(F.linear(n, p["mlp.c_fc.weight"], p["mlp.c_fc.bias"]), approximate="tanh")
        x = x + F.linear(n, p["mlp.c_proj.weight"], p["mlp.c_proj.bias"])
    return F.layer_norm(x, (C,), w["ln_f.weight"], w["ln_f.bias"], eps)


def model_with(part: ModuleType, state: dict[str, Tensor], *args: Any, **changes: Any) -> Any:
    model = part.GPT2(config(part, **changes), *args).to(state["wte.weight"].dtype).eval()
    model.load_state_dict(state)
    return model


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape; the output layer is the embedding matrix"""
    model = part.GPT2(config(part))
    found = {name: tuple(w.shape) for name, w in sorted(model.state_dict().items())}
    assert_equal(found, dict(sorted(shapes().items())), "the model's state")
    if model.lm_head.weight is not model.wte.weight:
        raise CheckFailure("lm_head.weight and wte.weight should be one parameter")


def check_logits(part: ModuleType) -> None:
    """Hidden states and logits equal those of an independent implementation"""
    state, ids = weights(), torch.randint(0, V, (2, 17))
    hidden = {eps: oracle(ids, state, eps) for eps in (1e-5, 0.1)}
    for eps, want in hidden.items():
        model = model_with(part, state, norm_eps=eps)
        assert_close(model.hidden(ids), want, what=f"hidden for norm_eps={eps}", **FLOAT32)
        scores = want @ state["wte.weight"].T
        assert_close(model(ids), scores, what=f"the logits for norm_eps={eps}", **FLOAT32)


def check_one_head_and_many(part: ModuleType) -> None:
    """head_dim and kv_heads follow from the sizes"""
    found = {}
    for heads in (1, 3, 12):
        shape = config(part, heads=heads)
        found[heads] = (shape.head_dim, shape.kv_heads)
    assert_equal(found, {1: (12, 1), 3: (4, 3), 12: (1, 12)}, "(head_dim, kv_heads) by heads")


def check_attend(part: ModuleType) -> None:
    """Each block attends by the function that the model was given, and uses its answer"""
    state, ids = weights(), torch.randint(0, V, (2, 5))
    seen: list[tuple[int, ...]] = []

    def nothing(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
        seen.append(tuple(q.shape))
        return torch.zeros_like(v)

    silent = {n: torch.zeros_like(w) if "c_attn" in n else w for n, w in state.items()}
    want = oracle(ids, silent)  # values of zero come to the same
    got = model_with(part, state, nothing).hidden(ids)
    assert_equal(seen, [(2, HEADS, 5, C // HEADS)] * LAYERS, "the shapes of q that attend got")
    assert_close(got, want, what="hidden when attend returns zeros", **FLOAT32)


def check_cache(part: ModuleType) -> None:
    """Read in pieces with a cache, the output is the same"""
    state, ids = weights(), torch.randint(0, V, (2, 15))
    want = oracle(ids, state) @ state["wte.weight"].T
    model, cache = model_with(part, state), JoinedCache()
    with torch.no_grad():
        pieces = [model(piece, cache) for piece in torch.split(ids, [6, 1, 1, 5, 2], dim=1)]
    assert_close(torch.cat(pieces, dim=1), want, what="the joined logits", **FLOAT32)
    assert_equal(cache.length, 15, "how many positions the cache was advanced by,")


def check_outputs(part: ModuleType) -> None:
    """outputs=n returns the last n positions, and the cache takes up all"""
    state, ids = weights(), torch.randint(0, V, (2, 9))
    want = oracle(ids, state)
    model = model_with(part, state)
    for n in (1, 4, 9):
        cache = JoinedCache()
        got = model.hidden(ids, cache, outputs=n)
        assert_close(got, want[:, 9 - n :], what=f"hidden for outputs={n}", **FLOAT32)
        assert_equal(cache.length, 9, f"the cache's length for outputs={n}")


def check_gradients(part: ModuleType) -> None:
    """The gradient of every weight, in float64"""
    state, ids = weights(torch.float64), torch.randint(0, V, (2, 9))
    leaves = {n: w.clone().requires_grad_() for n, w in state.items() if n != "lm_head.weight"}
    scores = oracle(ids, leaves) @ leaves["wte.weight"].T
    loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    expected = torch.autograd.grad(loss, list(leaves.values()))
    model = model_with(part, state)
    got_loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    own = [model.get_parameter(name) for name in leaves]
    got = torch.autograd.grad(got_loss, own, materialize_grads=True)
    for name, actual, want in zip(leaves, got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_initial_weights(part: ModuleType) -> None:
    """Initial deviations: 0.02, and less for what adds to the residual stream"""
    model = part.GPT2(part.GPT2Config(300, 200, 64, 8, 4))
    for name, weight in model.named_parameters():
        if weight.ndim == 2:
            want = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02
            got = weight.detach().double().pow(2).mean().sqrt().item()
            if not math.isclose(got, want, rel_tol=0.08):
                raise CheckFailure(f"the deviation of {name} is {got:.4f}: expected {want:.4f}")
        else:
            start = 1.0 if ".ln_" in f".{name}" and name.endswith("weight") else 0.0
            assert_equal(weight.unique().tolist(), [start], f"the values of {name}")


def check_dropout(part: ModuleType) -> None:
    """Dropout works in training alone, on the embeddings and on what each sublayer adds"""
    state, ids = weights(), torch.randint(0, V, (1, 9))
    want = oracle(ids, state)
    model = model_with(part, state, dropout=0.5)
    assert_close(model.hidden(ids), want, what="hidden in evaluation", **FLOAT32)
    applied = 0

    def count(*_: object) -> None:
        nonlocal applied
        applied += 1

    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(count)
    model.train()
    first, second = model.hidden(ids), model.hidden(ids)
    if torch.equal(first, second):
        raise CheckFailure("two passes in training are equal: the dropout does nothing")
    assert_equal(applied, 2 * (1 + 2 * LAYERS), "how often dropout was applied in two passes")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids and the weights are not changed"""
    model, ids = part.GPT2(config(part)), torch.randint(0, V, (2, 9))
    with unchanged(ids=ids, wte=model.wte.weight):
        model(ids)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that cannot be, and texts beyond the context, raise ValueError"""
    cases: list[dict[str, Any]] = [{"heads": 5}, {"layers": 0}, {"vocabulary": -1}, {"dim": 0}]
    cases += [{"context": 0}, {"heads": 0}, {"dropout": 1.0}, {"dropout": -0.1}]
    for case in cases:
        assert_raises(ValueError, lambda case=case: config(part, **case), f"{case}")  # type: ignore[misc]
    model = part.GPT2(config(part))
    long = torch.zeros(1, CONTEXT + 1, dtype=torch.long)
    assert_raises(
        ValueError, lambda: model(long), f"there are {CONTEXT + 1} of {CONTEXT} positions"
    )
    cache = JoinedCache()
    model(long[:, :-3], cache)
    assert_raises(
        ValueError, lambda: model(long[:, :4], cache), "the cache holds 22 of 24 positions"
    )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one pass over ``size`` tokens, forward and backward."""
    model = part.GPT2(part.GPT2Config(1000, size, 64, 2, 4))
    ids = torch.randint(0, 1000, (2, size))
    return lambda: model(ids).logsumexp(-1).sum().backward()


SIZE = 64
