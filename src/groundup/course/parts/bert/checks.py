"""Checks of `groundup.models.bert`. Oracle: torch's own layers and functions."""

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
from groundup.course.grader.torch_layers import encoder_layer, layer_shapes

FLOAT32 = {"rtol": 1e-4, "atol": 1e-4}
FLOAT64 = {"rtol": 1e-8, "atol": 1e-10}
V, C, HIDDEN, HEADS, LAYERS, CONTEXT, TYPES, LABELS = 31, 12, 20, 3, 2, 10, 3, 5
MASK = torch.tensor([[True] * 5 + [False] * 2, [True] * 7])


def options(**changes: Any) -> dict[str, Any]:
    sizes = {"vocabulary": V, "dim": C, "hidden_dim": HIDDEN, "layers": LAYERS, "heads": HEADS}
    return {**sizes, "context": CONTEXT, "types": TYPES, "dropout": 0.0, **changes}


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every weight of the encoder, under the name that it is stored under."""
    found: dict[str, tuple[int, ...]] = {
        "embed_tokens.weight": (V, C),
        "embed_positions.weight": (CONTEXT, C),
        "embed_types.weight": (TYPES, C),
        "embed_norm.weight": (C,),
        "embed_norm.bias": (C,),
        "pooler.weight": (C, C),
        "pooler.bias": (C,),
    }
    for layer in range(LAYERS):
        each = layer_shapes(C, HIDDEN).items()
        found |= {f"layers.{layer}.{name}": shape for name, shape in each}
    return found


def masked_shapes() -> dict[str, tuple[int, ...]]:
    found = {f"bert.{name}": shape for name, shape in shapes().items()}
    found |= {"dense.weight": (C, C), "dense.bias": (C,), "norm.weight": (C,), "norm.bias": (C,)}
    return found | {"decoder.weight": (V, C), "decoder.bias": (V,)}


def classifier_shapes() -> dict[str, tuple[int, ...]]:
    found = {f"bert.{name}": shape for name, shape in shapes().items()}
    return found | {"classifier.weight": (LABELS, C), "classifier.bias": (LABELS,)}


def weights(
    found: dict[str, tuple[int, ...]], dtype: torch.dtype = torch.float32
) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    state = {
        name: 0.4 * torch.randn(shape, dtype=dtype) + name.endswith("norm.weight")
        for name, shape in found.items()
    }
    if "decoder.weight" in state:
        state["decoder.weight"] = state["bert.embed_tokens.weight"]
    return state


def below(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {n.removeprefix(prefix): w for n, w in weights.items() if n.startswith(prefix)}


def encoded(
    ids: Tensor, w: dict[str, Tensor], mask: Tensor | None = None, types: Tensor | None = None,
    activation: str = "gelu", eps: float = 1e-12,
) -> Tensor:  # fmt: skip
    x = F.embedding(ids, w["embed_tokens.weight"]) + w["embed_positions.weight"][: ids.shape[1]]
    x = x + F.embedding(torch.zeros_like(ids) if types is None else types, w["embed_types.weight"])
    x = F.layer_norm(x, (C,), w["embed_norm.weight"], w["embed_norm.bias"], eps)
    for layer in range(LAYERS):
        p = below(w, f"layers.{layer}.")
        x = encoder_layer(x, p, HEADS, mask=mask, activation=activation, eps=eps)
    return x


def pooled(hidden: Tensor, w: dict[str, Tensor]) -> Tensor:
    return torch.tanh(F.linear(hidden[:, 0], w["pooler.weight"], w["pooler.bias"]))


def masked_scores(
    hidden: Tensor, w: dict[str, Tensor], activation: str = "gelu", eps: float = 1e-12
) -> Tensor:
    x = F.linear(hidden, w["dense.weight"], w["dense.bias"])
    x = F.relu(x) if activation == "relu" else F.gelu(x)
    x = F.layer_norm(x, (C,), w["norm.weight"], w["norm.bias"], eps)
    return F.linear(x, w["bert.embed_tokens.weight"], w["decoder.bias"])


def made(
    part: ModuleType, name: str, state: dict[str, Tensor] | None = None, *args: Any, **changes: Any
) -> Any:
    """A model of the class of this name with these weights."""
    model = getattr(part, name)(part.BertConfig(**options(**changes)), *args)
    if state is not None:
        model.to(next(iter(state.values())).dtype).load_state_dict(state)
    return model.eval()


def texts() -> tuple[Tensor, Tensor]:
    return torch.randint(0, V, (2, 7)), torch.randint(0, TYPES, (2, 7))


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape; the output matrix is the tokens' own"""
    models = {
        "Bert": (made(part, "Bert"), shapes()),
        "BertMaskedLM": (made(part, "BertMaskedLM"), masked_shapes()),
        "BertClassifier": (made(part, "BertClassifier", None, LABELS), classifier_shapes()),
    }
    for name, (model, want) in models.items():
        found = {name: tuple(w.shape) for name, w in sorted(model.state_dict().items())}
        assert_equal(found, dict(sorted(want.items())), f"the state of {name}")
    masked, _ = models["BertMaskedLM"]
    if masked.decoder.weight is not masked.bert.embed_tokens.weight:
        raise CheckFailure("decoder.weight and bert.embed_tokens.weight should be one parameter")


def check_encoder(part: ModuleType) -> None:
    """The encoder's output: tokens, positions and segments"""
    state, (ids, types) = weights(shapes()), texts()
    plain, segments = encoded(ids, state), encoded(ids, state, types=types)
    model = made(part, "Bert", state)
    assert_close(model(ids), plain, what="the output", **FLOAT32)
    assert_close(model(ids, types=types), segments, what="the output with segments", **FLOAT32)


def check_padding(part: ModuleType) -> None:
    """No token sees padding"""
    state, (ids, types) = weights(shapes()), texts()
    want = encoded(ids, state, MASK, types)[MASK]
    got = made(part, "Bert", state)(ids, MASK, types)[MASK]
    assert_close(got, want, what="the output where there is no padding", **FLOAT32)


def check_options(part: ModuleType) -> None:
    """The config's activation and eps are those of all layers"""
    state, (ids, _) = weights(shapes()), texts()
    bent, wide = encoded(ids, state, activation="relu"), encoded(ids, state, eps=0.5)
    got = made(part, "Bert", state, activation="relu")(ids)
    assert_close(got, bent, what="the output with relu", **FLOAT32)
    got = made(part, "Bert", state, norm_eps=0.5)(ids)
    assert_close(got, wide, what="the output for norm_eps=0.5", **FLOAT32)


def check_pool(part: ModuleType) -> None:
    """pool: the first token's vector, projected, through tanh"""
    state, hidden = weights(shapes()), torch.randn(2, 7, C)
    want = pooled(hidden, state)
    got = made(part, "Bert", state).pool(hidden)
    assert_close(got, want, what="the pooled vectors", **FLOAT32)


def check_masked_language_model(part: ModuleType) -> None:
    """Logits of the token at each position"""
    state, (ids, types) = weights(masked_shapes()), texts()
    bert = below(state, "bert.")
    cases: dict[str, dict[str, Any]] = {"of the defaults": {}, "with relu": {"activation": "relu"}}
    cases["for norm_eps=0.5"] = {"norm_eps": 0.5}
    expected = {}
    for name, changes in cases.items():
        given = {"eps" if key == "norm_eps" else key: value for key, value in changes.items()}
        hidden = encoded(ids, bert, MASK, types, **given)
        expected[name] = masked_scores(hidden, state, **given)[MASK]
    for name, changes in cases.items():
        got = made(part, "BertMaskedLM", state, **changes)(ids, MASK, types)[MASK]
        assert_close(got, expected[name], what=f"the logits {name}", **FLOAT32)


def check_classifier(part: ModuleType) -> None:
    """Logits of the labels of each text"""
    state, (ids, types) = weights(classifier_shapes()), texts()
    bert = below(state, "bert.")
    first = pooled(encoded(ids, bert, MASK, types), bert)
    want = F.linear(first, state["classifier.weight"], state["classifier.bias"])
    got = made(part, "BertClassifier", state, LABELS)(ids, MASK, types)
    assert_close(got, want, what="the logits", **FLOAT32)


def check_gradients(part: ModuleType) -> None:
    """The gradient of every weight of the masked language model, in float64"""
    state, (ids, types) = weights(masked_shapes(), torch.float64), texts()
    names = [name for name in state if name != "decoder.weight" and "pooler" not in name]
    leaves = {name: state[name].clone().requires_grad_() for name in names}
    out = masked_scores(encoded(ids, below(leaves, "bert."), MASK, types), leaves)
    loss = F.cross_entropy(out[MASK], ids[MASK])
    expected = torch.autograd.grad(loss, list(leaves.values()))
    model = made(part, "BertMaskedLM", state)
    got_loss = F.cross_entropy(model(ids, MASK, types)[MASK], ids[MASK])
    own = [model.get_parameter(name) for name in names]
    found = torch.autograd.grad(got_loss, own, materialize_grads=True)
    for name, actual, want in zip(names, found, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_initial_weights(part: ModuleType) -> None:
    """Initial weights: deviation 0.02, biases 0, norms 1 and 0, in the heads as well"""
    sizes: dict[str, Any] = {"vocabulary": 200, "dim": 48, "hidden_dim": 96}
    sizes |= {"context": 60, "types": 40}
    models = [made(part, "BertMaskedLM", **sizes), made(part, "BertClassifier", None, 40, **sizes)]
    for model in models:
        for name, weight in model.named_parameters():
            if weight.ndim == 1:
                start = 1.0 if name.endswith("norm.weight") else 0.0
                assert_equal(weight.unique().tolist(), [start], f"the values of {name}")
                continue
            got = weight.detach().double().pow(2).mean().sqrt().item()
            if not math.isclose(got, 0.02, rel_tol=0.1):
                raise CheckFailure(f"the deviation of {name} is {got:.4f}: expected 0.02")


def check_dropout(part: ModuleType) -> None:
    """Dropout works in training alone: embeddings, sublayers, the pooled vector"""
    state, (ids, _) = weights(classifier_shapes()), texts()
    bert = below(state, "bert.")
    first = pooled(encoded(ids, bert), bert)
    want = F.linear(first, state["classifier.weight"], state["classifier.bias"])
    model = made(part, "BertClassifier", state, LABELS, dropout=0.4)
    assert_close(model(ids), want, what="the logits in evaluation", **FLOAT32)
    applied: list[float] = []
    for module in model.modules():
        if isinstance(module, torch.nn.Dropout):
            module.register_forward_hook(lambda module, *_: applied.append(module.p))
    model.train()
    model(ids)
    assert_equal(applied, [0.4] * (2 + 2 * LAYERS), "the list of dropouts that were applied")


def check_input_unchanged(part: ModuleType) -> None:
    """The ids, the mask, the segments and the weights are not changed"""
    (ids, types), model = texts(), made(part, "BertMaskedLM")
    with unchanged(ids=ids, types=types, mask=MASK, tokens=model.bert.embed_tokens.weight):
        model(ids, MASK, types)


def check_bad_input(part: ModuleType) -> None:
    """Shapes that cannot be, no labels, and texts beyond the context, raise ValueError"""
    for changes in ({"heads": 5}, {"dropout": 1.0}, {"dropout": -0.1}):
        call = lambda changes=changes: part.BertConfig(**options(**changes))  # noqa: E731
        assert_raises(ValueError, call, f"{changes}")
    model, long = made(part, "Bert"), torch.zeros(1, CONTEXT + 1, dtype=torch.long)
    when = f"there are {CONTEXT + 1} of {CONTEXT} positions"
    assert_raises(ValueError, lambda: model(long), when)
    assert_raises(ValueError, lambda: made(part, "BertClassifier", None, 0), "labels is 0")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one pass over ``size`` tokens, forward and backward."""
    model = part.BertMaskedLM(part.BertConfig(500, 64, 256, 2, 4, size))
    ids = torch.randint(0, 500, (2, size))
    return lambda: model(ids).logsumexp(-1).sum().backward()


SIZE = 64
