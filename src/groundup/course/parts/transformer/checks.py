"""Checks of `groundup.models.transformer`. Oracle: torch's own layers, NumPy's sines."""

import math
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
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
from groundup.course.grader.torch_layers import decoder_layer, encoder_layer, layer_shapes

FLOAT32 = {"rtol": 1e-4, "atol": 1e-4}
FLOAT64 = {"rtol": 1e-4, "atol": 1e-6}  # the table of positions is of float32 there too
V, C, HIDDEN, HEADS, CONTEXT = 31, 12, 20, 3, 16
MASK = torch.tensor([[True] * 5 + [False] * 2, [True] * 7])  # of a source of 7 tokens


def options(**changes: Any) -> dict[str, Any]:
    sizes = {"vocabulary": V, "dim": C, "hidden_dim": HIDDEN, "encoder_layers": 2, "layers": 3}
    return {**sizes, "heads": HEADS, "context": CONTEXT, "dropout": 0.0, **changes}


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every weight, under the name that it is stored under."""
    found: dict[str, tuple[int, ...]] = {"shared.weight": (V, C), "lm_head.weight": (V, C)}
    found["final_logits_bias"] = (1, V)
    for stack, count in {"encoder": 2, "decoder": 3}.items():
        each = layer_shapes(C, HIDDEN, decoder=stack == "decoder")
        for layer in range(count):
            found |= {f"{stack}.{layer}.{name}": shape for name, shape in each.items()}
    return found


def weights(dtype: torch.dtype = torch.float32) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    state = {
        name: 0.4 * torch.randn(shape, dtype=dtype) + name.endswith("norm.weight")
        for name, shape in shapes().items()
    }
    return state | {"lm_head.weight": state["shared.weight"]}


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def embedded(ids: Tensor, w: dict[str, Tensor]) -> Tensor:
    angles = np.arange(ids.shape[1])[:, None] / 10000.0 ** (2 * np.arange(C // 2) / C)
    table = torch.from_numpy(np.concatenate([np.sin(angles), np.cos(angles)], axis=1))
    return F.embedding(ids, w["shared.weight"]) * math.sqrt(C) + table.to(w["shared.weight"].dtype)


def encoded(
    ids: Tensor, w: dict[str, Tensor], mask: Tensor | None = None, activation: str = "relu"
) -> Tensor:
    x = embedded(ids, w)
    for layer in range(2):
        p = below(w, f"encoder.{layer}.")
        x = encoder_layer(x, p, HEADS, mask=mask, activation=activation)
    return x


def decoded(
    ids: Tensor, targets: Tensor, w: dict[str, Tensor], mask: Tensor | None = None,
    activation: str = "relu",
) -> Tensor:  # fmt: skip
    source, x = encoded(ids, w, mask, activation), embedded(targets, w)
    for layer in range(3):
        p = below(w, f"decoder.{layer}.")
        x = decoder_layer(x, source, p, HEADS, mask=mask, activation=activation)
    return x


def scores(hidden: Tensor, w: dict[str, Tensor]) -> Tensor:
    return hidden @ w["shared.weight"].T + w["final_logits_bias"]


def model_with(part: ModuleType, state: dict[str, Tensor], **changes: Any) -> Any:
    model = part.Transformer(part.TransformerConfig(**options(**changes)))
    model = model.to(state["shared.weight"].dtype).eval()
    model.load_state_dict(state)
    return model


def texts() -> tuple[Tensor, Tensor]:
    return torch.randint(0, V, (2, 7)), torch.randint(0, V, (2, 6))


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape; one matrix embeds and is the output layer"""
    model = part.Transformer(part.TransformerConfig(**options()))
    found = {name: tuple(w.shape) for name, w in sorted(model.state_dict().items())}
    assert_equal(found, dict(sorted(shapes().items())), "the model's state")
    if model.lm_head.weight is not model.shared.weight:
        raise CheckFailure("lm_head.weight and shared.weight should be one parameter")
    trained = {name for name, _ in model.named_parameters()}
    assert_equal("final_logits_bias" in trained, False, "whether final_logits_bias is trained")


def check_encode(part: ModuleType) -> None:
    """The encoder's output, also where a source is padded"""
    state, (ids, _) = weights(), texts()
    whole, padded = encoded(ids, state), encoded(ids, state, MASK)
    model = model_with(part, state)
    assert_close(model.encode(ids), whole, what="the encoder's output", **FLOAT32)
    got = model.encode(ids, MASK)
    assert_close(got[MASK], padded[MASK], what="the output where there is no padding", **FLOAT32)


def check_logits(part: ModuleType) -> None:
    """The logits of a target, for sources whole and padded"""
    state, (ids, targets) = weights(), texts()
    want = {mask: scores(decoded(ids, targets, state, mask), state) for mask in (None, MASK)}
    model = model_with(part, state)
    assert_close(model(ids, targets), want[None], what="the logits", **FLOAT32)
    assert_close(model(ids, targets, MASK), want[MASK], what="the logits with padding", **FLOAT32)


def check_activation(part: ModuleType) -> None:
    """The config's activation is that of all layers"""
    state, (ids, targets) = weights(), texts()
    want = scores(decoded(ids, targets, state, activation="gelu"), state)
    got = model_with(part, state, activation="gelu")(ids, targets)
    assert_close(got, want, what="the logits with gelu", **FLOAT32)


def check_remember(part: ModuleType) -> None:
    """remember: keys and values for each layer of the decoder, in its heads"""
    state, source = weights(), torch.randn(2, 7, C)
    want = []
    for layer in range(3):
        p = below(state, f"decoder.{layer}.encoder_attn.")
        k, v = (F.linear(source, p[f"{i}_proj.weight"], p[f"{i}_proj.bias"]) for i in "kv")
        want.append([x.view(2, 7, HEADS, C // HEADS).transpose(1, 2) for x in (k, v)])
    memory = model_with(part, state).remember(source)
    assert_close(memory, want, what="the memory", **FLOAT32)


def check_cache(part: ModuleType) -> None:
    """Written in pieces with a cache, the target's output is the same"""
    state, (ids, targets) = weights(), texts()
    want = decoded(ids, targets, state, MASK)
    model, cache = model_with(part, state), JoinedCache()
    with torch.no_grad():
        memory = model.remember(model.encode(ids, MASK))
        pieces = [
            model.decode(piece, memory, MASK, cache)
            for piece in torch.split(targets, [3, 1, 2], dim=1)
        ]
    assert_close(torch.cat(pieces, dim=1), want, what="the joined output", **FLOAT32)
    assert_equal(cache.length, 6, "how many positions the cache was advanced by,")
    assert_equal(sorted(cache.held), [0, 1, 2], "the list of layers that the cache knows")


def check_gradients(part: ModuleType) -> None:
    """The gradient of every weight, in float64"""
    state, (ids, targets) = weights(torch.float64), texts()
    names = [name for name in state if name not in ("lm_head.weight", "final_logits_bias")]
    leaves = {name: state[name].clone().requires_grad_() for name in names}
    everything = leaves | {"final_logits_bias": state["final_logits_bias"]}
    out = scores(decoded(ids, targets, everything, MASK), everything)
    loss = F.cross_entropy(out[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
    expected = torch.autograd.grad(loss, list(leaves.values()))
    model = model_with(part, state)
    got = model(ids, targets, MASK)
    got_loss = F.cross_entropy(got[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
    own = [model.get_parameter(name) for name in names]
    found = torch.autograd.grad(got_loss, own, materialize_grads=True)
    for name, actual, wanted in zip(names, found, expected, strict=True):
        assert_close(actual, wanted, what=f"the gradient of {name}", **FLOAT64)


def check_initial_weights(part: ModuleType) -> None:
    """Initial weights: Xavier's for matrices, dim ** -0.5 for embeddings"""
    sizes = {"vocabulary": 300, "dim": 48, "hidden_dim": 96, "encoder_layers": 1, "layers": 1}
    model = part.Transformer(part.TransformerConfig(**options(**sizes)))
    for name, weight in model.named_parameters():
        if weight.ndim == 1:
            start = 1.0 if name.endswith("norm.weight") else 0.0
            assert_equal(weight.unique().tolist(), [start], f"the values of {name}")
            continue
        bound = math.sqrt(6 / sum(weight.shape))
        want = 48**-0.5 if name == "shared.weight" else bound / math.sqrt(3)
        got = weight.detach().double().pow(2).mean().sqrt().item()
        if not math.isclose(got, want, rel_tol=0.06):
            raise CheckFailure(f"the deviation of {name} is {got:.4f}: expected {want:.4f}")
        if name != "shared.weight" and weight.abs().max().item() > bound:
            raise CheckFailure(f"{name} has values beyond {bound:.4f}: is it drawn uniformly?")


def check_dropout(part: ModuleType) -> None:
    """Dropout works in training alone, on embeddings and on what each sublayer adds"""
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
    # Two embeddings, two sublayers of two layers, and three of three.
    assert_equal(applied, [0.4] * (2 + 2 * 2 + 3 * 3), "the list of dropouts that were applied")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids, the mask and the weights are not changed"""
    state, (ids, targets) = weights(), texts()
    model = model_with(part, state)
    with unchanged(ids=ids, targets=targets, mask=MASK, shared=model.shared.weight):
        model(ids, targets, MASK)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that cannot be, and texts beyond the context, raise ValueError"""
    for changes in ({"heads": 5}, {"dim": 9}, {"dropout": 1.0}, {"dropout": -0.1}):
        call = lambda changes=changes: part.TransformerConfig(**options(**changes))  # noqa: E731
        assert_raises(ValueError, call, f"{changes}")
    model, (ids, _) = model_with(part, weights()), texts()
    long = torch.zeros(2, CONTEXT + 1, dtype=torch.long)
    when = f"there are {CONTEXT + 1} of {CONTEXT} positions"
    assert_raises(ValueError, lambda: model.encode(long), f"in the source {when}")
    memory, cache = model.remember(model.encode(ids)), JoinedCache()
    assert_raises(ValueError, lambda: model.decode(long, memory), f"in the target {when}")
    model.decode(long[:, :-3], memory, None, cache)
    again = lambda: model.decode(long[:, :3], memory, None, cache)  # noqa: E731
    assert_raises(ValueError, again, f"the cache holds {CONTEXT - 2} and {when}")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one pass over ``size`` tokens each, forward and backward."""
    model = part.Transformer(part.TransformerConfig(500, 64, 256, 2, 2, 4, context=size))
    ids = torch.randint(0, 500, (2, size))
    return lambda: model(ids, ids).logsumexp(-1).sum().backward()


SIZE = 32
