"""Rollouts: answers that the model under training writes itself, and what they are worth."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from groundup.engine.engine import Engine
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.models.language_model import LanguageModel
from groundup.models.llama import Llama
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.training.rows import in_shuffled_order
from groundup.tuning.answer_log_probs import AnswerBatch, answer_batch, answer_log_probs
from groundup.tuning.grpo import group_advantages, grpo_loss
from groundup.tuning.kl_estimators import k3

__all__ = ["Answer", "Rollouts", "Task", "rewards_of", "write_answers"]


@dataclass(frozen=True)
class Task:
    """A prompt, and what an answer's text to it is worth."""

    prompt: tuple[int, ...]
    reward: Callable[[str], float]


@dataclass(frozen=True)
class Answer:
    """What the engine wrote: ids, the one that ended it included, and their log-probabilities."""

    ids: list[int]
    log_probs: list[float]


def write_answers(
    model: Llama,
    prompts: Sequence[tuple[int, ...]],
    stop_ids: frozenset[int],
    *,
    max_tokens: int,
    temperature: float,
    seed: int,
) -> list[Answer]:
    """An answer to each prompt, all in one batch; equal prompts are read once (prefix cache).

    The engine packs the weights, and keeps keys and values that were computed with them. So each
    call has an engine of its own: nothing of older weights is left. Packing costs a fraction of the
    time of writing.

    Args:
        model: with the weights of now; they are left as they are.
        prompts: token ids; each answer to an equal prompt has random numbers of its own.
        stop_ids: end an answer.
        max_tokens: of an answer.
        temperature: 1 draws from the model's own distribution, 0 takes the likeliest.
        seed: equal seeds, prompts and weights write equal answers.
    """
    answers = [Answer([], []) for _ in prompts]
    longest = max(map(len, prompts)) + max_tokens
    positions = 16 * sum(-(-(len(prompt) + max_tokens) // 16) for prompt in prompts)
    engine = Engine(model, positions=max(positions, longest), max_sequences=len(prompts))
    for key, prompt in enumerate(prompts):
        drawn = SamplingParams(temperature=temperature, seed=(seed * 1_000_003 + key) % 2**63)
        engine.add(
            key, Request(prompt, drawn, max_tokens=max_tokens, stop_ids=stop_ids, logprobs=0)
        )
    while engine.busy:
        for key, token in engine.step():
            assert token.logprob is not None
            answers[key].ids.append(token.id)
            answers[key].log_probs.append(token.logprob)
    return answers


def rewards_of(
    model: Llama,
    tasks: Sequence[Task],
    tokenizer: Tokenizer,
    *,
    max_tokens: int,
    temperature: float = 0.0,
    seed: int = 0,
) -> NDArray[np.float64]:
    """What one answer to each task is worth, (tasks,); by default the likeliest.

    Other arguments are those of `write_answers`.
    """
    answers = write_answers(
        model,
        [task.prompt for task in tasks],
        tokenizer.eos_ids,
        max_tokens=max_tokens,
        temperature=temperature,
        seed=seed,
    )
    return np.array([_reward(t, a, tokenizer) for t, a in zip(tasks, answers, strict=True)])


def _reward(task: Task, answer: Answer, tokenizer: Tokenizer) -> float:
    return task.reward(tokenizer.decode(answer.ids, skip_special=True))


class Rollouts:
    """Groups of answers to tasks, written when a step of the training asks for its rows.

    They are `groundup.training.rows.Rows`, but not a pure function of the samples' numbers: of
    these and of the weights. A training that is resumed at the same weights writes the same ones.
    """

    def __init__(
        self,
        tasks: Sequence[Task],
        tokenizer: Tokenizer,
        policy: Callable[[], AbstractContextManager[Llama]],
        *,
        group: int,
        max_tokens: int,
        seed: int,
        reference: Callable[[], AbstractContextManager[LanguageModel]] | None = None,
        micro_batch: int = 16,
    ) -> None:
        """Rollouts to train by `loss_sum`.

        Args:
            tasks: come in a shuffled order, anew in each epoch.
            tokenizer: of the model.
            policy: gives the model with its weights of now, in the form that the engine reads.
            group: answers to one task; a step's batch is a multiple of it.
            max_tokens: of an answer.
            seed: of the order and of the answers.
            reference: gives the model from which the policy should not go far; None where no
                penalty is wanted.
            micro_batch: answers that the reference reads at a time.

        Raises:
            ValueError: there is no task.
        """
        if not tasks:
            raise ValueError("there is no task to write answers to")
        self.tasks, self.tokenizer, self.policy, self.reference = (
            tasks,
            tokenizer,
            policy,
            reference,
        )
        self.group, self.max_tokens, self.seed = group, max_tokens, seed
        self.micro_batch = micro_batch
        # Of the last step: the mean reward, the divergence from the reference in nats a token, and
        # the largest difference of a token's log-probability in the engine and in training, which
        # is that of rounding: a larger one shows that the engine read other weights.
        self.figures: dict[str, float] = {}
        self._advantages = self._old_log_probs = torch.empty(0)
        self._tokens_per_answer = 1.0
        self._reference_log_probs: Tensor | None = None

    def __len__(self) -> int:
        return len(self.tasks) * self.group

    def take(self, samples: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
        """The answers with these numbers: ids and masks (N, 2, T), and their numbers here (N,).

        Raises:
            ValueError: the samples are not whole groups.
        """
        if len(samples) % self.group or samples[0] % self.group:
            raise ValueError(
                f"{len(samples)} samples from {samples[0]} on are not whole groups of {self.group}"
            )
        places = in_shuffled_order(samples[:: self.group] // self.group, len(self.tasks), self.seed)
        tasks = [self.tasks[place] for place in places for _ in range(self.group)]
        with self.policy() as model:
            answers = write_answers(
                model,
                [task.prompt for task in tasks],
                self.tokenizer.eos_ids,
                max_tokens=self.max_tokens,
                temperature=1,
                seed=self.seed + int(samples[0]),
            )
            device = model.device
        pairs = zip(tasks, answers, strict=True)
        rewards = torch.tensor([_reward(t, a, self.tokenizer) for t, a in pairs])
        batch = answer_batch([(t.prompt, a.ids) for t, a in zip(tasks, answers, strict=True)])
        self._advantages = group_advantages(rewards.view(-1, self.group)).flatten().to(device)
        written = torch.tensor([log_prob for answer in answers for log_prob in answer.log_probs])
        old = torch.zeros(batch.mask.shape).masked_scatter(batch.mask, written)
        self._old_log_probs = old.to(device)
        ids, mask = batch.ids.to(device), batch.mask.to(device)
        self._reference_log_probs = self._read_reference(ids, mask)
        self._tokens_per_answer = mask.sum().item() / len(answers)
        self.figures = {"reward": rewards.mean().item()}
        if (reference := self._reference_log_probs) is not None:
            self.figures["divergence"] = k3(self._old_log_probs, reference)[mask].mean().item()
        inputs = torch.stack((ids, F.pad(mask.long(), (1, 0))), dim=1)
        return inputs, torch.arange(len(answers), device=device)

    @torch.no_grad()
    def _read_reference(self, ids: Tensor, mask: Tensor) -> Tensor | None:
        if self.reference is None:
            return None
        with self.reference() as model:
            parts = zip(ids.split(self.micro_batch), mask.split(self.micro_batch), strict=True)
            return torch.cat([answer_log_probs(model, AnswerBatch(i, m)) for i, m in parts])

    def loss_sum(
        self, *, clip: float = 0.2, beta: float = 0.0,
        average: Literal["sequence", "token"] = "sequence",
    ) -> Callable[[nn.Module, Tensor, Tensor, bool], Tensor]:  # fmt: skip
        """GRPO's loss of answers that `take` gave, as `groundup.training.trainer.train` takes it.

        Summed over answers, each of which is a target.
        """

        def loss(model: nn.Module, inputs: Tensor, targets: Tensor, bfloat16: bool) -> Tensor:
            ids, mask = inputs[:, 0], inputs[:, 1, 1:].bool()
            with torch.autocast(ids.device.type, torch.bfloat16, enabled=bfloat16):
                log_probs = answer_log_probs(model, AnswerBatch(ids, mask))  # type: ignore[arg-type]
            old = self._old_log_probs[targets]
            reference = self._reference_log_probs
            mismatch = (log_probs.detach() - old)[mask].abs().max().item()
            self.figures["mismatch"] = max(mismatch, self.figures.get("mismatch", 0.0))
            found = grpo_loss(
                log_probs,
                old,
                self._advantages[targets],
                mask,
                clip=clip,
                reference=None if reference is None else reference[targets],
                beta=beta,
                average=average,
            )
            # A mean over tokens is of all micro-batches' tokens together.
            return found * (
                len(targets) if average == "sequence" else mask.sum() / self._tokens_per_answer
            )

        return loss
