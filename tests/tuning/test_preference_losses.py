"""The losses of preference tuning give what TRL's trainers give on batches made by hand.

Values and gradients were recorded from TRL 1.16.0 (``DPOTrainer._compute_loss``, of ``sigmoid`` and
``ipo``; ``GRPOTrainer._compute_loss``, of ``grpo`` and ``dapo``; ``RewardTrainer.compute_loss``) in
float64. TRL has conservative DPO no more: it is the mix of its loss on pairs and on swapped pairs.
"""

import math
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from groundup.tuning.dpo import dpo_loss, implicit_reward, ipo_loss
from groundup.tuning.grpo import group_advantages, grpo_loss
from groundup.tuning.kl_estimators import k1, k2, k3
from groundup.tuning.reward_model import bradley_terry_loss


def float64(values: object) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


def assert_same(got: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(got.detach(), expected, rtol=1e-12, atol=1e-15)


# Two pairs: answers of three tokens are chosen, of two are rejected.
CHOSEN = float64([[-0.5, -1.25, -0.25], [-2.0, -0.125, -1.5]])
REJECTED = float64([[-1.0, -0.5], [-0.25, -3.0]])
REFERENCE_CHOSEN = float64([[-0.625, -1.0, -1.0], [-1.75, -0.5, -1.25]])
REFERENCE_REJECTED = float64([[-0.75, -0.875], [-0.5, -2.0]])
TRL_DPO = {
    0.1: (0.6654225151855309, [-0.024375130175789485, -0.02421900421384922]),
    0.5: (0.5624971410747559, [-0.10945587477855047, -0.10562615870354707]),
}
TRL_SWAPPED = {
    0.1: (0.721672515185531, [0.025624869824210517, 0.025780995786150784]),
    0.5: (0.8437471410747559, [0.14054412522144955, 0.14437384129645292]),
}
TRL_IPO = {
    0.1: (22.670355902777782, [-1.6180555555555556, -1.5555555555555556],
          [2.4270833333333335, 2.3333333333333335]),
    0.5: (0.5870225694444444, [-0.2847222222222222, -0.22222222222222224],
          [0.4270833333333333, 0.33333333333333337]),
}  # fmt: skip


@pytest.mark.parametrize("beta", [0.1, 0.5])
@pytest.mark.parametrize("smoothing", [0.0, 0.2])
def test_dpo_equals_trl(beta: float, smoothing: float) -> None:
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    loss = dpo_loss(
        chosen.sum(1),
        rejected.sum(1),
        REFERENCE_CHOSEN.sum(1),
        REFERENCE_REJECTED.sum(1),
        beta=beta,
        label_smoothing=smoothing,
    )
    (value, gradient), (swapped, swapped_gradient) = TRL_DPO[beta], TRL_SWAPPED[beta]
    expected = (1 - smoothing) * float64(gradient) + smoothing * float64(swapped_gradient)
    assert_same(loss, float64((1 - smoothing) * value + smoothing * swapped))
    for answers, sign in ((chosen, 1), (rejected, -1)):
        (got,) = torch.autograd.grad(loss, answers, retain_graph=True)
        assert_same(got, sign * expected[:, None].expand_as(got))


@pytest.mark.parametrize("beta", [0.1, 0.5])
def test_ipo_equals_trl(beta: float) -> None:
    chosen, rejected = CHOSEN.clone().requires_grad_(), REJECTED.clone().requires_grad_()
    loss = ipo_loss(
        chosen.mean(1),
        rejected.mean(1),
        REFERENCE_CHOSEN.mean(1),
        REFERENCE_REJECTED.mean(1),
        beta=beta,
    )
    value, *gradients = TRL_IPO[beta]
    assert_same(loss, float64(value))
    for answers, gradient in zip((chosen, rejected), gradients, strict=True):
        (got,) = torch.autograd.grad(loss, answers, retain_graph=True)
        assert_same(got, float64(gradient)[:, None].expand_as(got))


log_probs = st.floats(-300, 0)


@given(
    st.lists(st.tuples(log_probs, log_probs), min_size=1, max_size=5),
    st.floats(0.01, 2),
    st.floats(0, 0.49),
)
def test_dpo_is_log_2_while_the_policy_is_the_reference(
    pairs: list[tuple[float, float]], beta: float, smoothing: float
) -> None:
    chosen, rejected = float64(pairs).unbind(1)
    loss = dpo_loss(chosen, rejected, chosen, rejected, beta=beta, label_smoothing=smoothing)
    assert loss.item() == pytest.approx(math.log(2), rel=1e-14)
    assert ipo_loss(chosen, rejected, chosen, rejected, beta=beta).item() == pytest.approx(
        1 / (4 * beta**2), rel=1e-12
    )


@given(st.lists(st.tuples(*[log_probs] * 4), min_size=1, max_size=5), st.floats(-50, 50))
def test_dpo_does_not_see_what_both_answers_share(
    pairs: list[tuple[float, float, float, float]], shift: float
) -> None:
    """A constant of the prompt, such as its own log-probability, falls out."""
    chosen, rejected, *reference = float64(pairs).unbind(1)
    loss = dpo_loss(chosen, rejected, *reference)
    torch.testing.assert_close(
        dpo_loss(chosen + shift, rejected + shift, *reference), loss, rtol=1e-9, atol=1e-12
    )


def test_margins_of_any_size_give_a_finite_loss() -> None:
    zero, far = torch.zeros(1), torch.tensor([-1e5])
    assert dpo_loss(far, zero, zero, zero).item() == pytest.approx(1e4)
    assert dpo_loss(zero, far, zero, zero).item() == 0
    assert bradley_terry_loss(far, zero).item() == pytest.approx(1e5)


def test_implicit_rewards_and_bradley_terry_are_dpo() -> None:
    policy = CHOSEN.sum(1), REJECTED.sum(1)
    reference = REFERENCE_CHOSEN.sum(1), REFERENCE_REJECTED.sum(1)
    rewards = [implicit_reward(p, r, beta=0.3) for p, r in zip(policy, reference, strict=True)]
    assert_same(bradley_terry_loss(*rewards), dpo_loss(*policy, *reference, beta=0.3))


def test_bradley_terry_equals_trl() -> None:
    chosen = float64([1.5, -0.25, 3.0]).requires_grad_()
    rejected = float64([0.5, 1.0, -2.0]).requires_grad_()
    loss = bradley_terry_loss(chosen, rejected)
    gradient = float64([-0.08964714045666503, -0.259099953724897, -0.002230950308094952])
    assert_same(loss, float64(0.6073020391175713))
    for scores, expected in ((chosen, gradient), (rejected, -gradient)):
        (got,) = torch.autograd.grad(loss, scores, retain_graph=True)
        assert_same(got, expected)


# Four answers of three, two, one and three tokens. Some ratios are beyond the clip on the side
# where it cuts, some on the other.
ANSWERS: dict[str, Any] = {
    "log_probs": float64([[-0.5, -1, -0.25], [-2, -0.75, 0], [-0.125, 0, 0], [-1.5, -0.5, -3]]),
    "old_log_probs": float64(
        [[-0.75, -0.875, -0.25], [-1.25, -1, 0], [-0.5, 0, 0], [-1, -0.625, -2.75]]
    ),
    "advantages": float64([1.25, -0.75, 0.5, -1.0]),
    "mask": torch.tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0], [1, 1, 1]]).bool(),
}
REFERENCE = float64([[-1, -0.5, -0.75], [-1.5, -1.5, 0], [-0.25, 0, 0], [-2, -0.25, -2]])
TRL_GRPO = {
    ("sequence", 0.0): (-0.04795367344918408, [
        [0.0, -0.09192676068589535, -0.10416666666666666], [0.0, 0.12037738281447576, 0.0],
        [0.0, 0.0, 0.0], [0.0, 0.09442903775556885, 0.0]]),
    ("sequence", 0.04): (-0.04195453032284968, [
        [0.0013115644676245553, -0.09408916492156244, -0.1028551021990421],
        [-0.0032436063535006407, 0.12301555005077068, 0.0], [0.0011750309741540461, 0.0, 0.0],
        [0.0013115644676245553, 0.09348228636660971, -0.005727606094863484]]),
    ("token", 0.0): (-0.017439290294234633, [
        [0.0, -0.12256901424786049, -0.1388888888888889], [0.0, 0.10700211805731177, 0.0],
        [0.0, 0.0, 0.0], [0.0, 0.12590538367409182, 0.0]]),
    ("token", 0.04): (-0.010331711534187684, [
        [0.0017487526234994072, -0.1254522198954166, -0.13714013626538948],
        [-0.0028832056475561257, 0.10934715560068504, 0.0], [0.0005222359885129089, 0.0, 0.0],
        [0.0017487526234994072, 0.12464304848881297, -0.007636808126484645]]),
}  # fmt: skip


@pytest.mark.parametrize(("average", "beta"), TRL_GRPO)
def test_grpo_equals_trl(average: Any, beta: float) -> None:
    moved = ANSWERS["log_probs"].clone().requires_grad_()
    answers = {**ANSWERS, "log_probs": moved}
    loss = grpo_loss(**answers, reference=REFERENCE, beta=beta, average=average)
    value, gradient = TRL_GRPO[average, beta]
    assert_same(loss, float64(value))
    (got,) = torch.autograd.grad(loss, moved)
    assert_same(got, float64(gradient))


def test_what_stands_outside_of_the_answers_counts_for_nothing() -> None:
    spoilt = {**ANSWERS, "log_probs": ANSWERS["log_probs"].clone()}
    spoilt["log_probs"][~ANSWERS["mask"]] = -math.inf
    spoilt["log_probs"].requires_grad_()
    loss = grpo_loss(**spoilt, reference=REFERENCE, beta=0.04)
    assert_same(loss, float64(-0.04195453032284968))
    (gradient,) = torch.autograd.grad(loss, spoilt["log_probs"])
    assert_same(gradient, float64(TRL_GRPO["sequence", 0.04][1]))


def test_advantages_equal_trl() -> None:
    rewards = float64([[1, 0, 0.5, 2], [0.1, 0.1, 0.1, 0.1], [-1, 3, 0.25, 0]])
    expected = float64([
        [0.1463678679116721, -1.024575075381705, -0.43910360373501633, 1.3173108112050491],
        [0, 0, 0, 0],
        [-0.912412182590751, 1.4233630048415715, -0.1824824365181502, -0.32846838573267034],
    ])  # fmt: skip
    got = group_advantages(rewards)
    # TRL rounds the standard deviation's factor, 4/3, to float32.
    torch.testing.assert_close(got, expected, rtol=1e-7, atol=0)
    array = rewards.numpy()
    std = array.std(1, ddof=1, keepdims=True)
    assert_same(
        got[[0, 2]], float64(((array - array.mean(1, keepdims=True)) / (std + 1e-4))[[0, 2]])
    )
    plain = rewards - rewards.mean(1, keepdim=True)
    torch.testing.assert_close(group_advantages(rewards, scale=False), plain, rtol=0, atol=1e-15)


@given(st.floats(-100, 100), st.integers(2, 9), st.booleans())
def test_a_group_of_equal_rewards_teaches_nothing(reward: float, size: int, scale: bool) -> None:
    rewards = torch.full((1, size), reward)
    assert not group_advantages(rewards, scale=scale).any()  # exactly


@given(st.lists(st.floats(-9, 9), min_size=2, max_size=8), st.floats(-9, 9), st.floats(0.5, 9))
def test_advantages_do_not_depend_on_the_rewards_scale(
    rewards: list[float], shift: float, factor: float
) -> None:
    group = float64([rewards])
    if group.std() < 1:
        return  # the 1e-4 is then felt
    torch.testing.assert_close(
        group_advantages(factor * group + shift), group_advantages(group), rtol=1e-3, atol=1e-3
    )


def test_the_estimators_find_a_divergence_that_is_known() -> None:
    """KL(N(0, 1) || N(0.1, 1)) is 0.005: k1 and k3 find it, and k3 varies far less."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(200_000, dtype=torch.float64, generator=generator)
    p, q = torch.distributions.Normal(0.0, 1.0), torch.distributions.Normal(0.1, 1.0)
    found = [k(p.log_prob(x), q.log_prob(x)) for k in (k1, k2, k3)]
    for values in found:
        assert values.mean().item() == pytest.approx(0.005, abs=4 * values.std().item() / 447)
    assert found[2].std() < found[0].std() / 8
    assert found[2].min() >= 0
    assert found[1].min() >= 0
    assert found[0].min() < 0


def test_bad_input_is_refused() -> None:
    one = torch.zeros(1)
    for beta in (0.0, -1.0, math.nan):
        with pytest.raises(ValueError, match="beta must be positive"):
            dpo_loss(one, one, one, one, beta=beta)
        with pytest.raises(ValueError, match="beta must be positive"):
            ipo_loss(one, one, one, one, beta=beta)
    with pytest.raises(ValueError, match="label_smoothing must be from 0 and less than"):
        dpo_loss(one, one, one, one, label_smoothing=0.5)
    with pytest.raises(ValueError, match="expected pairs"):
        bradley_terry_loss(one, torch.zeros(2))
    with pytest.raises(ValueError, match="G of at least 2"):
        group_advantages(torch.zeros(3, 1))
    wrong: dict[str, Any]
    for wrong in ({"clip": -0.1}, {"beta": -0.1}, {"beta": 0.1}, {"average": "mean"}):
        with pytest.raises(ValueError, match=r"negative|reference|'sequence' or 'token'"):
            grpo_loss(**ANSWERS, **wrong)
    with pytest.raises(ValueError, match="no token to learn from"):
        grpo_loss(**{**ANSWERS, "mask": torch.zeros(4, 3, dtype=torch.bool)})
