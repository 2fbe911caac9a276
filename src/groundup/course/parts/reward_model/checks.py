"""Checks of `groundup.tuning.reward_model`. Oracle: NumPy in float64; the model row by row."""

from collections.abc import Callable
from functools import partial
from types import ModuleType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from groundup.course.grader.compare import (
    CheckFailure,
    assert_close,
    assert_equal,
    assert_raises,
    unchanged,
)
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.llama import Llama, LlamaConfig

FLOAT64 = {"rtol": 1e-11, "atol": 1e-14}
FLOAT32 = {"rtol": 1e-5, "atol": 1e-6}
LENGTHS = (6, 2, 5)
VOCABULARY = 40


def language_model(family: str = "llama", *, tied: bool = True) -> Any:
    if family == "gpt2":
        return GPT2(GPT2Config(VOCABULARY, context=16, dim=16, layers=1, heads=2))
    model = Llama(
        LlamaConfig(
            VOCABULARY, dim=16, hidden_dim=24, layers=1, heads=2, kv_heads=1, head_dim=8,
            context=16, tied_embeddings=tied,
        )
    )  # fmt: skip
    model.draw_weights(0.3)
    return model


def batch() -> tuple[Tensor, Tensor]:
    return torch.randint(0, VOCABULARY, (len(LENGTHS), max(LENGTHS))), torch.tensor(LENGTHS)


def expected_scores(model: Any, weight: Tensor, ids: Tensor) -> Tensor:
    """Each conversation by itself, without anything behind it."""
    rows = []
    with torch.no_grad():
        for row, length in zip(ids, LENGTHS, strict=True):
            hidden = model.hidden(row[None, :length])[0, -1]
            rows.append(float(hidden.double().numpy() @ weight[0].double().numpy()))
    return torch.tensor(rows)


def scored(part: ModuleType, model: Any) -> tuple[Any, Tensor]:
    """A reward model with a drawn head, and the head's weight."""
    weight = torch.randn(1, 16)
    found = part.RewardModel(model)
    head = getattr(found, "score", None)
    if not isinstance(head, nn.Linear) or tuple(head.weight.shape) != (1, 16):
        raise CheckFailure("score is not a linear layer with a weight of shape (1, 16)")
    with torch.no_grad():
        head.weight.copy_(weight)
    return found, weight


def check_scores(part: ModuleType) -> None:
    """A score is the head's product with the last token's output"""
    for family in ("llama", "gpt2"):
        model = language_model(family)
        ids, lengths = batch()
        states = {k: v.clone() for k, v in model.state_dict().items()}
        twin = language_model(family)
        twin.load_state_dict(states)
        found, weight = scored(part, model)
        expected = expected_scores(twin, weight, ids)
        with unchanged(ids=ids, lengths=lengths), torch.no_grad():
            got = found(ids, lengths)
        assert_close(got, expected, what=f"the scores over a {family}", **FLOAT32)


def check_starts_at_0(part: ModuleType) -> None:
    """Before it has learned, all answers are equal, and there is no bias"""
    found = part.RewardModel(language_model())
    ids, lengths = batch()
    with torch.no_grad():
        got = found(ids, lengths)
    assert_close(got, torch.zeros(len(ids)), rtol=0, atol=0, what="the scores")
    assert_equal(found.score.bias is None, True, "whether the head has no bias")


def check_what_fills_up(part: ModuleType) -> None:
    """What stands behind a conversation changes nothing"""
    found, _ = scored(part, language_model())
    ids, lengths = batch()
    other = ids.clone()
    for row, length in enumerate(LENGTHS):
        other[row, length:] = (other[row, length:] + 7) % VOCABULARY
    with torch.no_grad():
        got, expected = found(other, lengths), found(ids, lengths).detach()
    if not expected.any():
        raise CheckFailure("all scores are 0, though the head is not")
    assert_close(got, expected, what="the scores", **FLOAT32)


def check_everything_learns(part: ModuleType) -> None:
    """All parameters that matter get a gradient, also of a model that was frozen"""
    for tied in (True, False):
        model = language_model(tied=tied).requires_grad_(False)
        found, _ = scored(part, model)
        ids, lengths = batch()
        found(ids, lengths).sum().backward()
        without = [n for n, p in found.named_parameters() if p.requires_grad and p.grad is None]
        assert_equal(without, [], "the trainable parameters without a gradient")
        learning = sum(p.requires_grad for p in found.parameters())
        total = len(list(found.parameters()))
        assert_equal(learning, total if tied else total - 1, "how many parameters are trainable")


def check_bad_lengths(part: ModuleType) -> None:
    """Lengths that are not from 1 to T raise ValueError"""
    found = part.RewardModel(language_model())
    ids, _ = batch()
    for lengths in ([6, 2], [6, 0, 5], [7, 2, 5], [6, 2, -1]):
        given = torch.tensor(lengths)
        assert_raises(ValueError, partial(found, ids, given), f"the lengths are {lengths}")


def check_loss(part: ModuleType) -> None:
    """The loss equals the formula"""
    chosen, rejected = 3 * torch.randn(2, 9, dtype=torch.float64)
    margin = chosen.numpy() - rejected.numpy()
    expected = torch.tensor(np.logaddexp(0, -margin).mean(), dtype=torch.float64)
    got = part.bradley_terry_loss(chosen, rejected)
    assert_close(got, expected, what="the loss", **FLOAT64)


def check_loss_gradient(part: ModuleType) -> None:
    """Its gradient is the chance that the wrong answer wins"""
    chosen, rejected = torch.randn(2, 9, dtype=torch.float64)
    wrong = 1 / (1 + np.exp(chosen.numpy() - rejected.numpy())) / 9
    chosen, rejected = chosen.requires_grad_(), rejected.requires_grad_()
    part.bradley_terry_loss(chosen, rejected).backward()
    for scores, sign, name in ((chosen, -1, "chosen"), (rejected, 1, "rejected")):
        gradient = torch.zeros_like(scores) if scores.grad is None else scores.grad
        what = f"the gradient of the {name} scores"
        assert_close(gradient, torch.from_numpy(sign * wrong), what=what, **FLOAT64)


def check_equal_scores(part: ModuleType) -> None:
    """Equal scores are a coin: log 2, however high they are"""
    scores = torch.tensor([0.0, 5, -300], dtype=torch.float64)
    expected = torch.tensor(np.log(2))
    assert_close(part.bradley_terry_loss(scores, scores), expected, what="the loss", **FLOAT64)


def check_far_scores(part: ModuleType) -> None:
    """Scores of any size give finite losses"""
    far, zero = torch.tensor([-1e5]), torch.zeros(1)
    got = part.bradley_terry_loss(far, zero)
    assert_close(got, torch.tensor(1e5), rtol=1e-6, atol=0, what="the loss of -100,000 against 0")


def check_bad_shapes(part: ModuleType) -> None:
    """Scores that make no pairs raise ValueError"""
    call = part.bradley_terry_loss
    for shape in ((1,), (3, 2), ()):
        assert_raises(
            ValueError, partial(call, torch.zeros(3), torch.zeros(shape)), f"there are {shape}"
        )


def workload(part: ModuleType, size: int) -> Callable[[], object]:
    """What ``--bench`` times: ``size`` conversations of 16 tokens."""
    found = part.RewardModel(language_model())
    ids = torch.randint(0, VOCABULARY, (size, 16))
    lengths = torch.full((size,), 16)
    return lambda: found(ids, lengths)


SIZE = 64
