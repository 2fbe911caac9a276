"""Checks of `groundup.models.t5`. Oracle: the same model, written in torch's functions."""

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

FLOAT32 = {"rtol": 1e-4, "atol": 1e-4}
FLOAT64 = {"rtol": 1e-8, "atol": 1e-10}
V, C, HIDDEN, HEADS, D, BUCKETS, FAR = 29, 10, 14, 3, 4, 8, 12  # HEADS * D is not C
LAYERS = {"encoder": 2, "decoder": 3}
MASK = torch.tensor([[True] * 5 + [False] * 4, [True] * 9])  # of a source of 9 tokens


def options(**changes: Any) -> dict[str, Any]:
    sizes = {"vocabulary": V, "dim": C, "hidden_dim": HIDDEN, "head_dim": D, "heads": HEADS}
    sizes |= {"encoder_layers": 2, "layers": 3, "buckets": BUCKETS, "max_distance": FAR}
    return {**sizes, "dropout": 0.0, **changes}


def shapes(*, gated: bool = False) -> dict[str, tuple[int, ...]]:
    """Of every weight, under the name that it is stored under."""
    found: dict[str, tuple[int, ...]] = {"shared.weight": (V, C), "lm_head.weight": (V, C)}
    for stack, layers in LAYERS.items():
        found[f"{stack}.position_bias.embedding.weight"] = (BUCKETS, HEADS)
        found[f"{stack}.norm.weight"] = (C,)
        attentions = ("self_attn", "cross_attn") if stack == "decoder" else ("self_attn",)
        for at in (f"{stack}.layers.{layer}." for layer in range(layers)):
            for attention in attentions:
                found[f"{at}{attention}_norm.weight"] = (C,)
                for name in "qkv":
                    found[f"{at}{attention}.{name}_proj.weight"] = (HEADS * D, C)
                found[f"{at}{attention}.out_proj.weight"] = (C, HEADS * D)
            found[f"{at}mlp_norm.weight"] = (C,)
            for name in ("wi_0", "wi_1") if gated else ("wi",):
                found[f"{at}mlp.{name}.weight"] = (HIDDEN, C)
            found[f"{at}mlp.wo.weight"] = (C, HIDDEN)
    return found


def weights(
    dtype: torch.dtype = torch.float32, *, gated: bool = False, tied: bool = True
) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    state = {
        name: 0.4 * torch.randn(shape, dtype=dtype) + name.endswith("norm.weight")
        for name, shape in shapes(gated=gated).items()
    }
    return state | ({"lm_head.weight": state["shared.weight"]} if tied else {})


def bucket(distance: int, both: bool) -> int:
    n = BUCKETS // 2 if both else BUCKETS
    away, exact = abs(distance) if both else max(-distance, 0), n // 2
    found = away
    if away >= exact:
        share = math.log(away / exact) / math.log(FAR / exact)
        found = min(exact + int(share * (n - exact)), n - 1)
    return found + (n if both and distance > 0 else 0)


def attended(x: Tensor, memory: Tensor, p: dict[str, Tensor], at: str, bias: Tensor) -> Tensor:
    q, k, v = (
        F.linear(y, p[f"{at}.{i}_proj.weight"]).view(*y.shape[:2], HEADS, D).transpose(1, 2)
        for i, y in (("q", x), ("k", memory), ("v", memory))
    )
    heads = F.scaled_dot_product_attention(q, k, v, attn_mask=bias, scale=1.0)
    return F.linear(heads.transpose(1, 2).flatten(2), p[f"{at}.out_proj.weight"])


def stacked(
    ids: Tensor, w: dict[str, Tensor], kind: str, mask: Tensor | None, source: Tensor | None = None,
    eps: float = 1e-6,
) -> Tensor:  # fmt: skip
    """The output of the encoder, or of the decoder over a source."""
    T, both = ids.shape[1], kind == "encoder"
    distances = [[bucket(key - query, both) for key in range(T)] for query in range(T)]
    table = w[f"{kind}.position_bias.embedding.weight"]
    own = F.embedding(torch.tensor(distances), table).permute(2, 0, 1)[None]
    hidden = torch.zeros(2, 1, 1, 9 if mask is None else mask.shape[1], dtype=table.dtype)
    if mask is not None:
        hidden = hidden.masked_fill(~mask[:, None, None], -1e9)
    if both:
        own = own + hidden
    else:
        own = own.masked_fill(torch.ones(T, T, dtype=torch.bool).triu(1), -torch.inf)
    x = F.embedding(ids, w["shared.weight"])
    for layer in range(LAYERS[kind]):
        at = f"{kind}.layers.{layer}."
        p = {n.removeprefix(at): v for n, v in w.items() if n.startswith(at)}
        n = F.rms_norm(x, (C,), p["self_attn_norm.weight"], eps)
        x = x + attended(n, n, p, "self_attn", own)
        if source is not None:
            n = F.rms_norm(x, (C,), p["cross_attn_norm.weight"], eps)
            x = x + attended(n, source, p, "cross_attn", hidden)
        n = F.rms_norm(x, (C,), p["mlp_norm.weight"], eps)
        if "mlp.wi.weight" in p:
            wide = F.linear(n, p["mlp.wi.weight"]).relu()
        else:
            gate = F.gelu(F.linear(n, p["mlp.wi_0.weight"]), approximate="tanh")
            wide = gate * F.linear(n, p["mlp.wi_1.weight"])
        x = x + F.linear(wide, p["mlp.wo.weight"])
    return F.rms_norm(x, (C,), w[f"{kind}.norm.weight"], eps)


def decoded(
    ids: Tensor, targets: Tensor, w: dict[str, Tensor], mask: Tensor | None = None,
    eps: float = 1e-6,
) -> Tensor:  # fmt: skip
    source = stacked(ids, w, "encoder", mask, eps=eps)
    return stacked(targets, w, "decoder", mask, source, eps)


def scores(hidden: Tensor, w: dict[str, Tensor]) -> Tensor:
    """Those of tied embeddings."""
    return hidden @ w["shared.weight"].T / math.sqrt(C)


def model_with(part: ModuleType, state: dict[str, Tensor], **changes: Any) -> Any:
    model = part.T5(part.T5Config(**options(**changes)))
    model = model.to(state["shared.weight"].dtype).eval()
    model.load_state_dict(state)
    return model


def texts() -> tuple[Tensor, Tensor]:
    return torch.randint(0, V, (2, 9)), torch.randint(0, V, (2, 7))


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape, gated or not, tied or not"""
    for gated in (False, True):
        model = part.T5(part.T5Config(**options(gated=gated, tied_embeddings=not gated)))
        found = {name: tuple(w.shape) for name, w in sorted(model.state_dict().items())}
        assert_equal(found, dict(sorted(shapes(gated=gated).items())), f"the state, gated={gated},")
        if (model.lm_head.weight is model.shared.weight) is gated:
            raise CheckFailure("lm_head and shared are one parameter if they are tied")


def check_encode(part: ModuleType) -> None:
    """The encoder's output, also where a source is padded"""
    state, (ids, _) = weights(), texts()
    whole, padded = stacked(ids, state, "encoder", None), stacked(ids, state, "encoder", MASK)
    model = model_with(part, state)
    assert_close(model.encode(ids), whole, what="the encoder's output", **FLOAT32)
    got = model.encode(ids, MASK)[MASK]
    assert_close(got, padded[MASK], what="the output where there is no padding", **FLOAT32)


def check_logits(part: ModuleType) -> None:
    """The logits of a target, for sources whole and padded"""
    state, (ids, targets) = weights(), texts()
    want = {mask: scores(decoded(ids, targets, state, mask), state) for mask in (None, MASK)}
    model = model_with(part, state)
    assert_close(model(ids, targets), want[None], what="the logits", **FLOAT32)
    assert_close(model(ids, targets, MASK), want[MASK], what="the logits with padding", **FLOAT32)


def check_version_1_1(part: ModuleType) -> None:
    """Gated layers, and an output layer of its own, to which nothing is scaled"""
    state, (ids, targets) = weights(gated=True, tied=False), texts()
    want = decoded(ids, targets, state) @ state["lm_head.weight"].T
    got = model_with(part, state, gated=True, tied_embeddings=False)(ids, targets)
    assert_close(got, want, what="the logits", **FLOAT32)


def check_eps(part: ModuleType) -> None:
    """The config's eps is that of all norms"""
    state, (ids, targets) = weights(), texts()
    want = scores(decoded(ids, targets, state, eps=0.5), state)
    got = model_with(part, state, norm_eps=0.5)(ids, targets)
    assert_close(got, want, what="the logits for norm_eps=0.5", **FLOAT32)


def check_cache(part: ModuleType) -> None:
    """Written in pieces with a cache, the target's output is the same"""
    state, (ids, targets) = weights(), texts()
    want = decoded(ids, targets, state, MASK)
    model, cache = model_with(part, state), JoinedCache()
    with torch.no_grad():
        memory = model.remember(model.encode(ids, MASK))
        pieces = [
            model.decode(piece, memory, MASK, cache)
            for piece in torch.split(targets, [3, 1, 3], dim=1)
        ]
    assert_equal([tuple(k.shape) for k, _ in memory], [(2, HEADS, 9, D)] * 3, "the keys' shapes")
    assert_close(torch.cat(pieces, dim=1), want, what="the joined output", **FLOAT32)
    assert_equal(cache.length, 7, "how many positions the cache was advanced by,")
    assert_equal(sorted(cache.held), [0, 1, 2], "the list of layers that the cache knows")


def check_gradients(part: ModuleType) -> None:
    """The gradient of every weight, the tables of distances included, in float64"""
    state, (ids, targets) = weights(torch.float64, gated=True), texts()
    names = [name for name in state if name != "lm_head.weight"]
    leaves = {name: state[name].clone().requires_grad_() for name in names}
    out = scores(decoded(ids, targets, leaves, MASK), leaves)
    loss = F.cross_entropy(out[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
    expected = torch.autograd.grad(loss, list(leaves.values()))
    got = (model := model_with(part, state, gated=True))(ids, targets, MASK)
    got_loss = F.cross_entropy(got[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
    own = [model.get_parameter(name) for name in names]
    found = torch.autograd.grad(got_loss, own, materialize_grads=True)
    for name, actual, want in zip(names, found, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_initial_weights(part: ModuleType) -> None:
    """Initial deviations: 1 for embeddings, else by the inputs, and the queries' smaller"""
    sizes = {"vocabulary": 200, "dim": 48, "hidden_dim": 80, "head_dim": 16, "heads": 8}
    sizes |= {"buckets": 64, "max_distance": 200, "encoder_layers": 1, "layers": 1}
    model = part.T5(part.T5Config(**options(**sizes)))
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            assert_equal(weight.unique().tolist(), [1.0], f"the values of {name}")
            continue
        inputs = 48 if "position_bias" in name else weight.shape[1]
        want = (inputs * (16 if "q_proj" in name else 1)) ** -0.5
        want = 1.0 if name == "shared.weight" else want
        got = weight.detach().double().pow(2).mean().sqrt().item()
        if not math.isclose(got, want, rel_tol=0.12):
            raise CheckFailure(f"the deviation of {name} is {got:.4f}: expected {want:.4f}")


def check_dropout(part: ModuleType) -> None:
    """Dropout works in training alone: embeddings, sublayers, inside them, the last norms"""
    state, (ids, targets) = weights(), texts()
    want = scores(decoded(ids, targets, state), state)
    model = model_with(part, state, dropout=0.4)
    assert_close(model(ids, targets), want, what="the logits in evaluation", **FLOAT32)
    applied: list[float] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda module, *_: applied.append(module.p))
    model.train()
    model(ids, targets)
    # Before and after each stack; two sublayers and inside one, or three and inside one.
    assert_equal(applied, [0.4] * (2 * 2 + 2 * 3 + 3 * 4), "the list of dropouts that were applied")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids, the mask and the weights are not changed"""
    state, (ids, targets) = weights(), texts()
    model = model_with(part, state)
    with unchanged(ids=ids, targets=targets, mask=MASK, shared=model.shared.weight):
        model(ids, targets, MASK)


def check_bad_dropout(part: ModuleType) -> None:
    """A dropout that is no share below 1 raises ValueError"""
    part.T5Config(**options())
    for dropout in (1.0, -0.1):
        call = lambda dropout=dropout: part.T5Config(**options(dropout=dropout))  # noqa: E731
        assert_raises(ValueError, call, f"dropout is {dropout}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one pass over ``size`` tokens each, forward and backward."""
    model = part.T5(part.T5Config(500, 64, 128, 16, 4, 2, 2))
    ids = torch.randint(0, 500, (2, size))
    return lambda: model(ids, ids).logsumexp(-1).sum().backward()


SIZE = 32
