"""Checks of `groundup.models.llama`. Oracle: the same model, written in torch's functions."""

import math
from collections.abc import Callable
from pathlib import Path
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
from groundup.errors import GroundupError
from groundup.models.rotary_scaling import RotaryScaling

FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-7, "atol": 1e-9}
V, C, HIDDEN, LAYERS, HEADS, KV, D = 29, 10, 14, 2, 4, 2, 6  # HEADS * D is not C


def options(**changes: Any) -> dict[str, Any]:
    sizes = {"vocabulary": V, "dim": C, "hidden_dim": HIDDEN, "layers": LAYERS, "heads": HEADS}
    return {**sizes, "kv_heads": KV, "head_dim": D, "context": 64, **changes}


def shapes(**changes: Any) -> dict[str, tuple[int, ...]]:
    """Of every weight, under the name that it is stored under."""
    found: dict[str, tuple[int, ...]] = {"embed_tokens.weight": (V, C)}
    for layer in range(LAYERS):
        at = f"layers.{layer}."
        for norm in ("input_layernorm", "post_attention_layernorm"):
            found[f"{at}{norm}.weight"] = (C,)
        for name, width in {"q": HEADS * D, "k": KV * D, "v": KV * D}.items():
            found[f"{at}self_attn.{name}_proj.weight"] = (width, C)
            if changes.get("qkv_bias"):
                found[f"{at}self_attn.{name}_proj.bias"] = (width,)
        found[f"{at}self_attn.o_proj.weight"] = (C, HEADS * D)
        if changes.get("output_bias"):
            found[f"{at}self_attn.o_proj.bias"] = (C,)
        if changes.get("qk_norm"):
            found[f"{at}self_attn.q_norm.weight"] = found[f"{at}self_attn.k_norm.weight"] = (D,)
        experts = [f"experts.{e}." for e in range(changes.get("experts", 0))]
        for expert in experts or [""]:
            for name in ("gate", "up"):
                found[f"{at}mlp.{expert}{name}_proj.weight"] = (HIDDEN, C)
            found[f"{at}mlp.{expert}down_proj.weight"] = (C, HIDDEN)
        if experts:
            found[f"{at}mlp.gate.weight"] = (len(experts), C)
    return found | {"norm.weight": (C,), "lm_head.weight": (V, C)}


def weights(dtype: torch.dtype = torch.float32, **changes: Any) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    state = {}
    for name, shape in shapes(**changes).items():
        state[name] = 0.4 * torch.randn(shape, dtype=dtype) + ("norm" in name)
    if changes.get("tied_embeddings"):
        state["lm_head.weight"] = state["embed_tokens.weight"]
    return state


def turned(x: Tensor, angles: Tensor) -> Tensor:
    """A pair of features, one of each half, is a complex number."""
    first, second = x.chunk(2, dim=-1)
    turn = torch.complex(angles.cos(), angles.sin()).to(torch.complex(first, second).dtype)
    pairs = torch.complex(first, second) * turn
    return torch.cat((pairs.real, pairs.imag), dim=-1)


def feed_forward(x: Tensor, p: dict[str, Tensor], at: str) -> Tensor:
    hidden = F.silu(F.linear(x, p[f"{at}gate_proj.weight"]))
    return F.linear(hidden * F.linear(x, p[f"{at}up_proj.weight"]), p[f"{at}down_proj.weight"])


def oracle(ids: Tensor, w: dict[str, Tensor], **given: Any) -> Tensor:
    """The last norm's output."""
    eps, T = given.get("norm_eps", 1e-5), ids.shape[1]
    frequencies = 1.0 / given.get("rotary_base", 1e4) ** (torch.arange(0, D, 2).float() / D)
    if "rotary_scaling" in given:
        frequencies = frequencies / given["rotary_scaling"].factor
    angles = torch.arange(T)[:, None].float() * frequencies
    distance = torch.arange(T)[:, None] - torch.arange(T)
    seen = (distance >= 0) & (distance < given.get("window", T))
    x = F.embedding(ids, w["embed_tokens.weight"])
    for layer in range(LAYERS):
        at = f"layers.{layer}."
        p = {name.removeprefix(at): v for name, v in w.items() if name.startswith(at)}
        n = F.rms_norm(x, (C,), p["input_layernorm.weight"], eps)
        q, k, v = (
            F.linear(n, p[f"self_attn.{i}_proj.weight"], p.get(f"self_attn.{i}_proj.bias"))
            .view(*ids.shape, -1, D)
            .transpose(1, 2)
            for i in "qkv"
        )
        if "self_attn.q_norm.weight" in p:
            q = F.rms_norm(q, (D,), p["self_attn.q_norm.weight"], eps)
            k = F.rms_norm(k, (D,), p["self_attn.k_norm.weight"], eps)
        if layer not in given.get("layers_without_rotary", ()):
            q, k = turned(q, angles), turned(k, angles)
        k, v = (t.repeat_interleave(HEADS // KV, dim=1) for t in (k, v))
        a = F.scaled_dot_product_attention(q, k, v, attn_mask=seen).transpose(1, 2).flatten(2)
        x = x + F.linear(a, p["self_attn.o_proj.weight"], p.get("self_attn.o_proj.bias"))
        n = F.rms_norm(x, (C,), p["post_attention_layernorm.weight"], eps)
        if "mlp.gate.weight" in p:
            chances = F.linear(n, p["mlp.gate.weight"]).softmax(-1)
            least = chances.topk(given.get("experts_per_token", 2)).values[..., -1:]
            chosen = torch.where(chances >= least, chances, 0)
            share = chosen / chosen.sum(-1, keepdim=True)
            each = [feed_forward(n, p, f"mlp.experts.{e}.") for e in range(share.shape[-1])]
            x = x + (torch.stack(each, -1) * share[..., None, :]).sum(-1)
        else:
            x = x + feed_forward(n, p, "mlp.")
    return F.rms_norm(x, (C,), w["norm.weight"], eps)


def model_with(part: ModuleType, state: dict[str, Tensor], *args: Any, **changes: Any) -> Any:
    model = part.Llama(part.LlamaConfig(**options(**changes)), *args)
    model = model.to(state["norm.weight"].dtype).eval()
    model.load_state_dict(state)
    return model


def compare(part: ModuleType, cases: dict[str, dict[str, Any]]) -> None:
    """Hidden states and logits of models with these options."""
    ids = torch.randint(0, V, (2, 11))
    states = {name: weights(**changes) for name, changes in cases.items()}
    expected = {name: oracle(ids, states[name], **changes) for name, changes in cases.items()}
    for name, changes in cases.items():
        state, want = states[name], expected[name]
        model = model_with(part, state, **changes)
        with torch.no_grad():
            assert_close(model.hidden(ids), want, what=f"hidden {name}", **FLOAT32)
            scores = want @ state["lm_head.weight"].T
            assert_close(model(ids), scores, what=f"the logits {name}", **FLOAT32)


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape, whatever the options"""
    every = {"qkv_bias": True, "output_bias": True, "qk_norm": True}
    for changes in ({}, every, {"experts": 3}, {"tied_embeddings": True}):
        model = part.Llama(part.LlamaConfig(**options(**changes)))
        found = {name: tuple(w.shape) for name, w in sorted(model.state_dict().items())}
        assert_equal(found, dict(sorted(shapes(**changes).items())), f"the state with {changes}")
        if (model.lm_head.weight is model.embed_tokens.weight) != ("tied_embeddings" in changes):
            raise CheckFailure("lm_head and embed_tokens are one parameter if they are tied")


def check_logits(part: ModuleType) -> None:
    """Hidden states and logits equal those of an independent implementation"""
    cases: dict[str, dict[str, Any]] = {
        "of the defaults": {},
        "for norm_eps=0.1": {"norm_eps": 0.1},
        "for rotary_base=7": {"rotary_base": 7.0},
        "with tied embeddings": {"tied_embeddings": True},
    }
    compare(part, cases)


def check_relatives(part: ModuleType) -> None:
    """Qwen's biases and norms, SmolLM3's layers without rotation, stretched positions"""
    cases: dict[str, dict[str, Any]] = {
        "with qkv_bias": {"qkv_bias": True},
        "with output_bias": {"output_bias": True},
        "with qk_norm": {"qk_norm": True, "norm_eps": 0.05},
        "without rotation in layer 1": {"layers_without_rotary": frozenset({1})},
        "with frequencies divided by 4": {"rotary_scaling": RotaryScaling("linear", 4.0)},
    }
    compare(part, cases)


def check_mistral(part: ModuleType) -> None:
    """Mistral's window, Mixtral's experts"""
    cases: dict[str, dict[str, Any]] = {
        "with a window of 3": {"window": 3},
        "with 4 experts": {"experts": 4},
        "with 3 experts, 1 for each token": {"experts": 3, "experts_per_token": 1},
    }
    compare(part, cases)


def check_attend(part: ModuleType) -> None:
    """Each block attends by the function that the model was given, and uses its answer"""
    state, ids = weights(), torch.randint(0, V, (2, 5))
    seen: list[tuple[tuple[int, ...], ...]] = []

    def nothing(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
        seen.append((tuple(q.shape), tuple(k.shape), tuple(v.shape)))
        return torch.zeros_like(q)

    want = oracle(ids, {n: 0 * w if "v_proj" in n else w for n, w in state.items()})
    got = model_with(part, state, nothing).hidden(ids)
    kv = (2, KV, 5, D)
    assert_equal(seen, [((2, HEADS, 5, D), kv, kv)] * LAYERS, "the shapes of q, k, v")
    assert_close(got, want, what="hidden when attend returns zeros", **FLOAT32)


def check_cache(part: ModuleType) -> None:
    """Read in pieces with a cache, the output is the same"""
    state, ids = weights(), torch.randint(0, V, (2, 15))
    want = oracle(ids, state) @ state["lm_head.weight"].T
    model, cache = model_with(part, state), JoinedCache()
    with torch.no_grad():
        pieces = [model(piece, cache) for piece in torch.split(ids, [6, 1, 1, 5, 2], dim=1)]
    assert_close(torch.cat(pieces, dim=1), want, what="the joined logits", **FLOAT32)
    assert_equal(cache.length, 15, "how many positions the cache was advanced by,")


def check_outputs(part: ModuleType) -> None:
    """outputs=n: the last n positions, of which alone the last layer asks; the cache has all"""
    state, ids = weights(), torch.randint(0, V, (2, 9))
    want = oracle(ids, state)
    asked: list[int] = []

    def attend(q: Tensor, k: Tensor, v: Tensor, *, causal: bool = True) -> Tensor:
        asked.append(q.shape[2])
        S, T = k.shape[2], q.shape[2]
        seen = torch.ones(T, S, dtype=torch.bool).tril(S - T)
        return F.scaled_dot_product_attention(q, k, v, attn_mask=seen, enable_gqa=True)

    model = model_with(part, state, attend)
    for n in (1, 4, 9):
        cache = JoinedCache()
        got = model.hidden(ids, cache, outputs=n)
        assert_close(got, want[:, 9 - n :], what=f"hidden for outputs={n}", **FLOAT32)
        assert_equal(cache.length, 9, f"the cache's length for outputs={n}")
        assert_equal(cache.held[LAYERS - 1][0].shape[2], 9, "the keys of the last layer")
    assert_equal(asked, [9, 1, 9, 4, 9, 9], "the list of how many positions asked, by layers,")


def check_gradients(part: ModuleType) -> None:
    """The gradient of every weight, in float64"""
    changes = {"qkv_bias": True, "qk_norm": True}
    state, ids = weights(torch.float64, **changes), torch.randint(0, V, (2, 9))
    leaves = {name: w.clone().requires_grad_() for name, w in state.items()}
    scores = oracle(ids, leaves) @ leaves["lm_head.weight"].T
    loss = F.cross_entropy(scores[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    expected = torch.autograd.grad(loss, list(leaves.values()))
    model = model_with(part, state, **changes)
    got_loss = F.cross_entropy(model(ids)[:, :-1].flatten(0, 1), ids[:, 1:].flatten())
    own = [model.get_parameter(name) for name in leaves]
    got = torch.autograd.grad(got_loss, own, materialize_grads=True)
    for name, actual, want in zip(leaves, got, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_narrow_matrices(part: ModuleType) -> None:
    """Under float32 norms and bfloat16 matrices the stream between layers is float32"""
    state, ids = weights(), torch.randint(0, V, (1, 7))
    rounded = {n: w if "norm" in n else w.bfloat16() for n, w in state.items()}
    want = oracle(ids, {n: w.float() for n, w in rounded.items()})
    model = part.Llama.from_state(part.LlamaConfig(**options()), rounded, Path("a file"))
    streams: list[torch.dtype] = []
    for block in model.layers:
        block.register_forward_hook(lambda _block, _args, out: streams.append(out.dtype))
    got = model.hidden(ids)
    assert_equal(streams, [torch.float32] * LAYERS, "the list of dtypes of the blocks' outputs")
    assert_close(got, want, what="hidden", rtol=0.1, atol=0.1)
    assert_equal(model.dtype, torch.float32, "dtype")


def check_from_state(part: ModuleType) -> None:
    """from_state: the given weights, ready to generate, or a GroundupError with their source"""
    state, config = weights(), part.LlamaConfig(**options())
    model = part.Llama.from_state(config, state, Path("a file"))
    for name, weight in model.named_parameters():
        assert_close(weight, state[name], rtol=0, atol=0, what=name)
        if weight.requires_grad:
            raise CheckFailure(f"{name} still asks for a gradient")
    assert_equal(model.training, False, "training")
    del state["norm.weight"]
    call = lambda: part.Llama.from_state(config, state, Path("a file"))  # noqa: E731
    assert_raises(GroundupError, call, "a weight is missing", "a file")


def check_draw_weights(part: ModuleType) -> None:
    """draw_weights: matrices with the deviation given, biases 0, norms as they are"""
    sizes: dict[str, Any] = {"vocabulary": 300, "dim": 48, "hidden_dim": 100, "qkv_bias": True}
    model = part.Llama(part.LlamaConfig(**options(**sizes)))
    for std in (0.02, 0.3):
        model.draw_weights(*([] if std == 0.02 else [std]))
        for name, weight in model.named_parameters():
            if weight.ndim == 2:
                got = weight.detach().double().pow(2).mean().sqrt().item()
                if not math.isclose(got, std, rel_tol=0.1):
                    raise CheckFailure(f"the deviation of {name} is {got:.4f}: expected {std}")
            else:
                start = 1.0 if "norm" in name else 0.0
                assert_equal(weight.unique().tolist(), [start], f"the values of {name}")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids and the weights are not changed"""
    model, ids = part.Llama(part.LlamaConfig(**options())), torch.randint(0, V, (2, 9))
    with unchanged(ids=ids, embeddings=model.embed_tokens.weight):
        model(ids)


def check_bad_shapes(part: ModuleType) -> None:
    """Heads that cannot be shared evenly, and an empty window, raise ValueError"""
    for changes in ({"heads": 5}, {"kv_heads": 3}, {"window": 0}, {"window": -2}):
        call = lambda changes=changes: part.LlamaConfig(**options(**changes))  # noqa: E731
        assert_raises(ValueError, call, f"{changes}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one pass over ``size`` tokens, forward and backward."""
    model = part.Llama(part.LlamaConfig(1000, 64, 172, 2, 4, 2, 16, size))
    ids = torch.randint(0, 1000, (2, size))
    return lambda: model(ids).logsumexp(-1).sum().backward()


SIZE = 64
