"""Checks of `groundup.models.transformer_layers`. Oracle: torch's own layers."""

from collections.abc import Callable
from types import ModuleType
from typing import Any

import torch
from torch import Tensor

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.course.grader.torch_layers import decoder_layer, encoder_layer, layer_shapes

FLOAT32 = {"rtol": 1e-4, "atol": 1e-5}
FLOAT64 = {"rtol": 1e-8, "atol": 1e-10}
C, HIDDEN, HEADS = 12, 20, 3
MASK = torch.tensor([[True] * 5 + [False] * 2, [True] * 7])  # of a source of 7 positions


def weights(dtype: torch.dtype = torch.float32, *, decoder: bool = False) -> dict[str, Tensor]:
    """Large, so that a wrong detail shows."""
    return {
        name: 0.4 * torch.randn(shape, dtype=dtype) + name.endswith("norm.weight")
        for name, shape in layer_shapes(C, HIDDEN, decoder=decoder).items()
    }


def encoder(part: ModuleType, state: dict[str, Tensor] | None = None, **options: Any) -> Any:
    layer = part.EncoderLayer(C, HIDDEN, HEADS, **{"dropout": 0.0, **options})
    if state is not None:
        layer.to(state["fc1.bias"].dtype).load_state_dict(state)
    return layer.eval()


def decoder(part: ModuleType, state: dict[str, Tensor] | None = None, **options: Any) -> Any:
    layer = part.DecoderLayer(C, HIDDEN, HEADS, 4, **{"dropout": 0.0, **options})
    if state is not None:
        layer.to(state["fc1.bias"].dtype).load_state_dict(state)
    return layer.eval()


def padding() -> Tensor:
    """What is added to scores of keys that ``MASK`` hides."""
    return torch.zeros(2, 1, 1, 7).masked_fill(~MASK[:, None, None], -1e9)


def causal(queries: int, keys: int) -> Tensor:
    return torch.full((queries, keys), -torch.inf).triu(keys - queries + 1)


def passed(layer: Any, x: Tensor, encoded: Tensor, bias: Tensor | None = None) -> Any:
    """The decoder layer's output for a whole target."""
    own = causal(x.shape[1], x.shape[1])
    return layer.decode(x, own, layer.encoder_attn.keys_values(encoded), bias, None)


def check_parameters(part: ModuleType) -> None:
    """Every weight has its name and shape"""
    for made, is_decoder in ((encoder(part), False), (decoder(part), True)):
        found = {name: tuple(w.shape) for name, w in sorted(made.state_dict().items())}
        want = dict(sorted(layer_shapes(C, HIDDEN, decoder=is_decoder).items()))
        assert_equal(found, want, f"the state of a {type(made).__name__}")


def check_encoder(part: ModuleType) -> None:
    """The encoder's layer, with both kinds of activation and of eps"""
    state, x = weights(), torch.randn(2, 7, C)
    cases: dict[str, dict[str, Any]] = {
        "of the defaults": {},
        "with gelu": {"activation": "gelu"},
        "for norm_eps=0.5": {"norm_eps": 0.5},
    }
    expected = {}
    for name, options in cases.items():
        given = {"eps" if key == "norm_eps" else key: value for key, value in options.items()}
        expected[name] = encoder_layer(x, state, HEADS, **given)
    for name, options in cases.items():
        got = encoder(part, state, **options)(x)
        assert_close(got, expected[name], what=f"the output {name}", **FLOAT32)


def check_score_bias(part: ModuleType) -> None:
    """The encoder's score_bias hides padding"""
    state, x = weights(), torch.randn(2, 7, C)
    want = encoder_layer(x, state, HEADS, mask=MASK)
    assert_close(encoder(part, state)(x, padding()), want, what="the output", **FLOAT32)


def check_decoder(part: ModuleType) -> None:
    """The decoder's layer, over a source with padding"""
    state, x, encoded = weights(decoder=True), torch.randn(2, 5, C), torch.randn(2, 7, C)
    want = {mask: decoder_layer(x, encoded, state, HEADS, mask=mask) for mask in (None, MASK)}
    layer = decoder(part, state)
    got = passed(layer, x, encoded)
    assert_close(got, want[None], what="the output over all of the source", **FLOAT32)
    got = passed(layer, x, encoded, padding())
    assert_close(got, want[MASK], what="the output over a source with padding", **FLOAT32)


def check_decoder_activation(part: ModuleType) -> None:
    """The decoder's layer hands its options on to the encoder's"""
    state, x, encoded = weights(decoder=True), torch.randn(2, 5, C), torch.randn(2, 7, C)
    want = decoder_layer(x, encoded, state, HEADS, activation="gelu")
    got = passed(decoder(part, state, activation="gelu"), x, encoded)
    assert_close(got, want, what="the output with gelu", **FLOAT32)


def check_cache(part: ModuleType) -> None:
    """Read in pieces with a cache, the output is the same"""
    state, x, encoded = weights(decoder=True), torch.randn(2, 6, C), torch.randn(2, 7, C)
    want = decoder_layer(x, encoded, state, HEADS)
    asked: list[int] = []
    held: list[tuple[Tensor, Tensor]] = []

    class Cache:
        def write(self, layer: int, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
            asked.append(layer)
            held.append((k, v))
            keys, values = zip(*held, strict=True)
            return torch.cat(keys, dim=2), torch.cat(values, dim=2)

    layer, pieces = decoder(part, state), []
    memory = layer.encoder_attn.keys_values(encoded)
    for start, stop in ((0, 3), (3, 4), (4, 6)):
        own = causal(stop - start, stop)
        pieces.append(layer.decode(x[:, start:stop], own, memory, None, Cache()))
    assert_close(torch.cat(pieces, dim=1), want, what="the joined output", **FLOAT32)
    assert_equal(asked, [4, 4, 4], "the list of indices that the cache was asked by")


def check_gradients(part: ModuleType) -> None:
    """The gradients of the inputs and of every weight, in float64"""
    state = weights(torch.float64, decoder=True)
    x, encoded, weight = torch.randn(3, 2, 5, C, dtype=torch.float64)
    leaves = {name: w.clone().requires_grad_() for name, w in state.items()}
    inputs = {"x": x.requires_grad_(), "the encoder's output": encoded.requires_grad_()}
    loss = (decoder_layer(x, encoded, leaves, HEADS) * weight).sum()
    expected = torch.autograd.grad(loss, [*inputs.values(), *leaves.values()])
    layer = decoder(part, state)
    own = [*inputs.values(), *(layer.get_parameter(name) for name in leaves)]
    memory = layer.encoder_attn.keys_values(encoded)
    got = layer.decode(x, causal(5, 5).double(), memory, None, None)
    found = torch.autograd.grad((got * weight).sum(), own, materialize_grads=True)
    for name, actual, want in zip([*inputs, *leaves], found, expected, strict=True):
        assert_close(actual, want, what=f"the gradient of {name}", **FLOAT64)


def check_dropout(part: ModuleType) -> None:
    """Dropout works in training alone, on what each sublayer gives"""
    x, encoded = torch.randn(2, 5, C), torch.randn(2, 7, C)
    calls: list[Callable[[Any], Any]] = [
        lambda made: made(x),
        lambda made: passed(made, x, encoded),
    ]
    for make, call, sublayers in ((encoder, calls[0], 2), (decoder, calls[1], 3)):
        layer = make(part, dropout=0.5)
        applied: list[int] = []
        if not torch.equal(call(layer), call(layer)):
            raise CheckFailure("two passes in evaluation differ")
        for module in layer.modules():
            if isinstance(module, torch.nn.Dropout):
                module.register_forward_hook(lambda *_, applied=applied: applied.append(1))
        layer.train()
        if torch.equal(call(layer), call(layer)):
            raise CheckFailure("two passes in training are equal: the dropout does nothing")
        name = type(layer).__name__
        assert_equal(len(applied), 2 * sublayers, f"dropouts in two passes of {name}")


def check_input_unchanged(part: ModuleType) -> None:
    """The inputs are not changed"""
    x, encoded = torch.randn(2, 5, C), torch.randn(2, 7, C)
    first, second = encoder(part), decoder(part)
    with unchanged(x=x, encoded=encoded):
        first(x)
        passed(second, x, encoded)


def check_bad_options(part: ModuleType) -> None:
    """An activation that does not exist, and heads that do not fit, raise ValueError"""
    encoder(part)
    assert_raises(ValueError, lambda: encoder(part, activation="bend"), "activation is 'bend'")
    assert_raises(ValueError, lambda: decoder(part, activation="bend"), "activation is 'bend'")
    make = lambda: part.EncoderLayer(C, HIDDEN, 5, dropout=0.0)  # noqa: E731
    assert_raises(ValueError, make, f"dim is {C} and heads is 5")


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: one layer over ``size`` positions, forward and backward."""
    layer = part.EncoderLayer(128, 512, 4, dropout=0.0)
    x = torch.randn(2, size, 128)
    return lambda: layer(x).square().sum().backward()


SIZE = 64
