"""Rollouts are the model's own, with the weights of now; GRPO on them raises the reward."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch

from groundup.engine.engine import Engine
from groundup.engine.generate import generate
from groundup.engine.sampling_params import SamplingParams
from groundup.models.llama import Llama, LlamaConfig
from groundup.tokenizers.from_hugging_face import tokenizer_from_json
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.run_log import read_log
from groundup.training.trainer import Plan, train
from groundup.tuning import rollouts as module
from groundup.tuning.adapt import adapt
from groundup.tuning.adapter_config import AdapterConfig
from groundup.tuning.answer_log_probs import AnswerBatch, answer_batch, answer_log_probs
from groundup.tuning.rewards import arithmetic_reward, format_reward, last_number
from groundup.tuning.rollouts import Rollouts, Task, rewards_of, write_answers

TOKENIZER = tokenizer_from_json(character_tokenizer(["0123456789+="]), eos="<|endoftext|>")
PROMPTS = [tuple(TOKENIZER.encode(text)) for text in ("12+34=", "5+6=", "9=")]


@pytest.fixture(name="model")
def model_fixture() -> Llama:
    torch.manual_seed(0)
    model = Llama(
        LlamaConfig(
            TOKENIZER.size, dim=32, hidden_dim=48, layers=2, heads=2, kv_heads=1, head_dim=16,
            context=64, tied_embeddings=True,
        )
    )  # fmt: skip
    model.draw_weights(0.2)
    return model


def rollouts(model: Llama, tasks: list[Task] | None = None, **settings: Any) -> Rollouts:
    @contextmanager
    def policy() -> Iterator[Llama]:
        yield model

    tasks = tasks or [Task(p, lambda text: float(text.count("7"))) for p in PROMPTS]
    return Rollouts(
        tasks, TOKENIZER, policy, **{"group": 4, "max_tokens": 6, "seed": 3, **settings}
    )


def mismatch(model: Llama) -> float:
    """Between the engine's log-probabilities and the model's own, of answers that it writes."""
    answers = write_answers(
        model, PROMPTS * 8, TOKENIZER.eos_ids, max_tokens=20, temperature=1, seed=1
    )
    batch = answer_batch([(p, a.ids) for p, a in zip(PROMPTS * 8, answers, strict=True)])
    with torch.no_grad():
        own = answer_log_probs(model, batch)[batch.mask]
    written = torch.tensor([value for answer in answers for value in answer.log_probs])
    return float((own - written).abs().max())


def change(model: Llama) -> None:
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))


def test_answers_are_drawn_from_the_weights_of_now(model: Llama) -> None:
    for _ in range(3):
        assert mismatch(model) < 2e-5
        change(model)


def test_an_engine_that_is_kept_would_be_seen(
    model: Llama, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The planted mistake: packed weights, keys and values outlive a step of the training."""
    kept: list[Engine] = []

    def once(*arguments: Any, **settings: Any) -> Engine:
        kept[:] = kept or [Engine(*arguments, **settings)]
        return kept[0]

    monkeypatch.setattr(module, "Engine", once)
    assert mismatch(model) < 2e-5
    change(model)
    assert mismatch(model) > 1e-2


def test_answers_are_those_of_the_plain_loop(model: Llama) -> None:
    """Greedily, token for token; and the prompt that a group shares is read once."""
    answers = write_answers(model, PROMPTS, TOKENIZER.eos_ids, max_tokens=20, temperature=0, seed=0)
    for prompt, answer in zip(PROMPTS, answers, strict=True):
        expected = list(
            generate(model, prompt, SamplingParams(), stop_ids=TOKENIZER.eos_ids, max_tokens=20)
        )
        ended = answer.ids[-1] in TOKENIZER.eos_ids
        assert answer.ids[: len(expected)] == expected
        assert len(answer.ids) == len(expected) + ended


def test_samples_are_reproducible_and_differ_within_a_group(model: Llama) -> None:
    found = rollouts(model)
    (inputs, targets), (again, _) = found.take(np.arange(8)), found.take(np.arange(8))
    assert torch.equal(inputs, again)
    assert targets.tolist() == list(range(8))
    other, _ = found.take(np.arange(8, 16))
    assert inputs.shape != other.shape or not torch.equal(inputs, other)
    alone = rollouts(
        model, list(found.tasks[:1])
    )  # the same prompt in the next step: answered anew
    steps = [alone.take(np.arange(first, first + 4))[0][:, 0].tolist() for first in (0, 4)]
    assert steps[0] != steps[1]
    assert len({tuple(row.flatten().tolist()) for row in inputs[:4]}) > 1
    with pytest.raises(ValueError, match="not whole groups of 4"):
        found.take(np.arange(6))
    with pytest.raises(ValueError, match="not whole groups of 4"):
        found.take(np.arange(2, 6))


def test_samples_are_of_the_models_own_distribution(model: Llama) -> None:
    """The mean log-probability is minus the entropy; a temperature would move it."""
    task = Task(PROMPTS[0], lambda text: 0.0)
    found = rollouts(model, [task], group=600, max_tokens=1)
    inputs, _ = found.take(np.arange(600))
    with torch.no_grad():
        scores = torch.log_softmax(model(torch.tensor([task.prompt]))[0, -1], -1)
    drawn = scores[inputs[:, 0, len(task.prompt)]]
    entropy = -(scores.exp() * scores).sum()
    assert abs(drawn.mean() + entropy) < 4 * drawn.std() / 600**0.5
    assert entropy > 1


@pytest.mark.parametrize("average", ["sequence", "token"])
def test_micro_batches_give_the_gradient_of_the_whole_batch(model: Llama, average: Any) -> None:
    found = rollouts(model, reference=rollouts(model).policy)
    inputs, targets = found.take(np.arange(12))
    loss = found.loss_sum(beta=0.1, average=average)
    gradients = []
    for size in (12, 5):
        model.zero_grad()
        for part in zip(inputs.split(size), targets.split(size), strict=True):
            loss(model, *part, False).backward()
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))  # type: ignore[union-attr]
    torch.testing.assert_close(gradients[1], gradients[0], rtol=1e-4, atol=1e-5)
    assert gradients[0].abs().max() > 0.01


def test_the_policy_gradient_is_that_of_the_rewards(model: Llama) -> None:
    """Before the policy has moved: minus the mean of advantage times log-probability."""
    found = rollouts(model)
    inputs, targets = found.take(np.arange(12))
    batch = AnswerBatch(inputs[:, 0], inputs[:, 1, 1:].bool())
    texts = [
        TOKENIZER.decode(ids[1:][mask].tolist(), skip_special=True)
        for ids, mask in zip(batch.ids, batch.mask, strict=True)
    ]
    rewards = torch.tensor([float(text.count("7")) for text in texts]).view(3, 4)
    assert found.figures["reward"] == pytest.approx(rewards.mean().item())
    off = rewards - rewards.mean(1, keepdim=True)
    advantages = (off / (rewards.std(1, keepdim=True) + 1e-4)).flatten()
    means = answer_log_probs(model, batch).sum(1) / batch.mask.sum(1)
    expected = torch.autograd.grad(-(advantages * means).sum(), model.norm.weight)[0]
    got = torch.autograd.grad(found.loss_sum()(model, inputs, targets, False), model.norm.weight)[0]
    torch.testing.assert_close(got, expected, rtol=1e-3, atol=1e-5)
    assert found.figures["mismatch"] < 2e-5


def test_grpo_raises_the_reward_and_resumes_exactly(model: Llama, tmp_path: Path) -> None:
    """A reward for sevens: after 12 steps the model writes more of them; a second training that
    was stopped after 8 ends in the same weights."""
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    plan = Plan(
        steps=12, batch=24, micro_batch=24, learning_rate=5e-3, warmup=0, weight_decay=0,
        checkpoint_every=4,
    )  # fmt: skip

    def trained(folder: Path, stop: int | None = None) -> None:
        with torch.no_grad():
            for name, parameter in model.named_parameters():
                parameter.copy_(weights[name])
        found = rollouts(model)

        def report(line: Any) -> None:
            if line["step"] == stop:
                raise KeyboardInterrupt

        train(
            model, found, plan, folder, loss=found.loss_sum(),
            figures=lambda: found.figures, report=report,
        )  # fmt: skip

    trained(tmp_path / "whole")
    log = read_log(tmp_path / "whole")
    assert log[-1]["reward"] > log[0]["reward"] + 0.5
    assert max(line["mismatch"] for line in log) < 1e-4
    ended = {name: p.detach().clone() for name, p in model.named_parameters()}
    with pytest.raises(KeyboardInterrupt):
        trained(tmp_path / "stopped", stop=10)
    trained(tmp_path / "stopped")
    for name, parameter in model.named_parameters():
        assert torch.equal(parameter, ended[name])


def test_an_adapter_writes_merged_and_its_base_is_the_reference(model: Llama) -> None:
    """The engine reads the adapter's matrices of now; switched off, the model is the base again."""
    weights = {name: p.detach().clone() for name, p in model.named_parameters()}
    adapted = adapt(model, AdapterConfig(rank=4), seed=0)

    @contextmanager
    def policy() -> Iterator[Llama]:
        try:
            yield cast(Llama, adapted.merge())
        finally:
            adapted.unmerge()

    found = rollouts(model, reference=adapted.switched_off, max_tokens=20)
    found.policy = policy
    loss = found.loss_sum(beta=0.5)
    for number in range(3):
        inputs, targets = found.take(np.arange(12 * number, 12 * number + 12))
        loss(adapted, inputs, targets, False)
        assert found.figures["mismatch"] < 1e-4
        moved = found.figures["divergence"] > 1e-4
        assert moved == (number > 0)  # at first the adapter adds nothing
        with torch.no_grad():
            for parameter in adapted.trained_parameters().values():
                parameter.add_(0.05 * torch.randn_like(parameter))
    with adapted.switched_off() as base:
        assert base is model
        for name, parameter in base.named_parameters():
            assert torch.equal(parameter, weights[name])


def test_rewards_of_tasks_are_of_the_likeliest_answers(model: Llama) -> None:
    found = rewards_of(
        model, [Task(p, lambda text: float(len(text))) for p in PROMPTS], TOKENIZER, max_tokens=6
    )
    assert found.shape == (3,)
    assert found.max() <= 6


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("27 + 35 = 62", 62), ("The answer is 1,234.", 1234), ("7-5", 5), ("minus: -5", -5),
        ("x=-5", -5), ("half is 0.50", 0.5), ("1,2345", 2345), ("12,34", 34), ("no number", None),
        ("GPT2", None), ("2 apples", 2), ("$1,000,000.25!", 1000000.25), ("", None),
    ],
)  # fmt: skip
def test_the_last_number(text: str, number: float | None) -> None:
    found = last_number(text)
    assert (None if found is None else float(found)) == number


def test_rewards_that_a_program_checks() -> None:
    import re

    assert arithmetic_reward("It is 62.", 62) == 1
    assert arithmetic_reward("It is 62 or 63.", 62) == 0  # all numbers are no answer
    assert arithmetic_reward("It is sixty-two.", 62) == 0
    form = re.compile(r"<answer>.*</answer>")
    assert format_reward(" <answer>3</answer>\n", form) == 1
    assert format_reward("So <answer>3</answer>", form) == 0
    assert format_reward("<answer>3</answer>. So", form) == 0
