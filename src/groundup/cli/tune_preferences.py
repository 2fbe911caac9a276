"""What ``groundup tune`` does by preferences and rewards: DPO, IPO, GRPO and reward models."""

import math
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, cast

import typer

from groundup.cli.tune_folder import begin, finish, is_tuned
from groundup.errors import GroundupError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from rich.console import Console
    from torch import Tensor, nn

    from groundup.evaluation.summary import Comparison
    from groundup.models.gpt2 import GPT2
    from groundup.models.llama import Llama
    from groundup.tokenizers.tokenizer import Tokenizer
    from groundup.training.trainer import LossSum, Plan
    from groundup.tuning.adapt import AdaptedModel
    from groundup.tuning.data_file import Example
    from groundup.tuning.rollouts import Task

__all__ = ["RATES", "check_options", "tune_by_preferences"]

# Peak learning rates: DPO's adapter moves a tenth as fast as a supervised one's.
RATES = {"dpo": 5e-5, "ipo": 5e-5, "grpo": 1e-4, "reward": 1e-5}
BETAS = {"dpo": 0.1, "ipo": 0.1, "grpo": 0.0}
MICRO_BATCH = 4
EVALUATIONS = 8  # in a training
HELD_OUT_TASKS = 200  # at most, that GRPO is measured on
LINES = 20  # of GRPO's progress where there is no terminal


def check_options(
    method: str, beta: float | None, label_smoothing: float, form: str | None
) -> float | None:
    """Refuse what would fail after the model was loaded; returns beta, if the method has one.

    Raises:
        GroundupError: a value is out of its range, or means nothing for the method.
    """
    if beta is not None and not (beta > 0 or (beta == 0 and method == "grpo")):
        raise GroundupError(f"--beta is {beta}: expected more than 0, or for grpo 0 as well")
    if not 0 <= label_smoothing < 0.5:
        raise GroundupError(f"--label-smoothing is {label_smoothing}: expected 0 to below 0.5")
    if label_smoothing and method != "dpo":
        raise GroundupError(f"--label-smoothing is for dpo, and --method is {method}")
    if form is not None:
        try:
            re.compile(form)
        except re.error as error:
            raise GroundupError(f"--form {form!r} is not a regular expression: {error}") from None
    return BETAS.get(method) if beta is None else beta


class _Split(NamedTuple):
    duplicates: list[int]
    learned: list["Example"]
    held_out: list["Example"]


def tune_by_preferences(
    settings: Mapping[str, Any],
    examples: "list[Example]",
    tokenizer: "Tokenizer",
    source: Path,
    out: Path,
    console: "Console",
    *,
    dry_run: bool = False,
) -> None:
    """Tune by a method of `RATES`.

    Raises:
        GroundupError: the data is not of the method's form, or as the training's parts do.
        typer.Exit: it was interrupted.
    """
    from groundup.tuning.examples import hold_out, without_duplicates

    kept, duplicates = without_duplicates(examples)
    split = _Split(duplicates, *hold_out(kept, settings["validation"], settings["seed"]))
    kind = _Grpo if settings["method"] == "grpo" else _Preferences
    tuning = kind(dict(settings), split, tokenizer, source, out, console)
    tuning.show()
    if not dry_run:
        tuning.run()


class _Tuning:
    """What the methods have in common."""

    def __init__(
        self,
        settings: dict[str, Any],
        split: _Split,
        tokenizer: "Tokenizer",
        source: Path,
        out: Path,
        console: "Console",
    ) -> None:
        self.settings, self.split, self.tokenizer = settings, split, tokenizer
        self.source, self.out, self.console = source, out, console

    def counted(self, learned: int, held_out: int, what: str, left_out: list[int]) -> None:
        """Say how much there is to learn from."""
        self.console.print(f"{learned:,} {what} to learn from, {held_out:,} held out")
        for rows, why in (
            (self.split.duplicates, "rows that repeat an earlier one, left out"),
            (left_out, f"rows of more than {self.settings['context']:,} tokens, left out"),
        ):
            if rows:
                named = ", ".join(map(str, rows[:5])) + ", …" * (len(rows) > 5)
                self.console.print(f"{why}: {len(rows):,} (row {named})", style="yellow")

    def is_done(self) -> bool:
        """Whether the folder holds this tuning's result, which is said.

        Raises:
            GroundupError: it holds another tuning.
        """
        done = is_tuned(self.out, self.settings, self.console)
        if done:
            self.say_how_to_use()
        return done

    def say_how_to_use(self) -> None:
        """The last line."""
        if self.settings["method"] == "reward":
            self.console.print(f"the reward model is in {self.out}", markup=False)
        else:
            option = f"--model {self.settings['model']} --adapter {self.out}"
            self.console.print(f"talk to it: groundup chat {option}", markup=False, soft_wrap=True)

    def check_memory(
        self,
        model: "nn.Module",
        loss: "Callable[[int], Tensor]",
        *,
        longest: int,
        answer: int,
        together: int,
        besides: int = 0,
    ) -> None:
        """Say what the tuning takes; refuse what cannot be had, with what would fit.

        Args:
            model: as it will be trained.
            loss: of ``together`` conversations of so many tokens, of which one counts in each.
            longest: tokens of the longest conversation.
            answer: tokens of the longest answer that are scored over the vocabulary.
            together: conversations of a micro-batch.
            besides: as `estimate_memory` takes it.

        Raises:
            GroundupError: there is too little memory.
        """
        from groundup.tuning.memory_estimate import (
            MemoryEstimate,
            available_memory,
            check_memory,
            estimate_memory,
            probe_memory,
            score_bytes,
        )

        # Longer texts than there are would take more than the tuning itself.
        probe = probe_memory(model, loss, max(3, min(longest, self.settings["context"])))
        vocabulary = self.tokenizer.size

        def estimate(context: int) -> MemoryEstimate:
            return estimate_memory(
                model,
                probe,
                tokens=min(longest, context),
                longest=min(longest, context),
                scores=score_bytes(together * min(answer, context), vocabulary),
                besides=besides,
            )

        wanted = estimate(self.settings["context"])
        shorter = longest // 2
        others = [(f"--context {shorter}", estimate(shorter))]
        batch = min(self.settings["batch"], MICRO_BATCH)
        if batch > 1 and self.settings["method"] != "grpo":
            alone = replace(
                wanted, activations=wanted.activations // batch, scores=wanted.scores // batch
            )
            others.append(("--batch 1", alone))
        available = available_memory(next(model.parameters()).device)
        self.console.print(check_memory(wanted, available, others))

    def finish(self, learned: int, held_out: int, results: "list[Comparison]") -> None:
        """Write the card, and remove what a resumed training would need."""
        rows = {"training": learned, "validation": held_out}
        finish(self.out, self.settings, self.source, rows, results, {})
        self.say_how_to_use()

    def load(self, *, wide: bool) -> "Llama | GPT2":
        """The base; ``wide`` in float32, as what is trained or merged has to be."""
        import torch

        from groundup.cli.tune import train_with_fused_layers
        from groundup.models.load import fastest_dtype, load_language_model

        precision = self.settings["precision"]
        if precision == "auto" and self.settings["method"] == "grpo":
            precision = "float32"  # as the engine's answers are: rounding would pass for learning
        dtype = fastest_dtype() if precision == "auto" else getattr(torch, precision)
        self.autocast = wide and dtype == torch.bfloat16
        base = load_language_model(str(self.source), torch.float32 if wide else dtype)[0]
        if self.settings["context"] > base.config.context:
            raise GroundupError(f"--context is {self.settings['context']}: the model reads at "
                                f"most {base.config.context} tokens")  # fmt: skip
        train_with_fused_layers(base)
        return base

    def adapt(self, base: "Llama | GPT2") -> "AdaptedModel":
        """LoRA: with the adapter switched off, the model is its own reference."""
        from groundup.tuning.adapt import adapt
        from groundup.tuning.adapter_config import AdapterConfig

        settings = self.settings
        config = AdapterConfig(
            "lora",
            rank=settings["rank"],
            alpha=settings["alpha"],
            dropout=settings["dropout"],
            rank_stabilized=settings["rs_lora"],
            targets=settings["targets"],
        )
        return adapt(base, config, seed=settings["seed"])

    def plan(self, rows: int, batch: int, micro_batch: int) -> "Plan":
        """As many steps as the epochs have batches of these rows."""
        from groundup.training.trainer import Plan

        steps = max(1, math.ceil(self.settings["epochs"] * rows / batch))
        return Plan(
            steps=steps,
            batch=batch,
            micro_batch=micro_batch,
            learning_rate=self.settings["learning_rate"],
            warmup=min(100, steps // 10),
            weight_decay=0.0,
            seed=self.settings["seed"],
            bfloat16=self.autocast,
            evaluate_every=max(1, steps // EVALUATIONS),
            evaluation_rows=64,
            checkpoint_every=max(1, min(50, steps // EVALUATIONS)),
        )

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within it, Ctrl-C ends the command after a whole step."""
        from groundup.training.trainer import Interrupted

        try:
            yield
        except Interrupted:
            self.console.print("stopped; the same command goes on from here")
            raise typer.Exit(130) from None

    def gained(
        self, what: str, metric: str, before: "NDArray[np.float64]", after: "NDArray[np.float64]"
    ) -> "Comparison":
        """Say how what was held out was before and after."""
        from groundup.evaluation.bootstrap import bootstrap_interval
        from groundup.evaluation.summary import Comparison, Estimate

        def estimate(values: "NDArray[np.float64]") -> Estimate:
            mean = float(values.mean())
            return Estimate(what, metric, len(values), mean, *bootstrap_interval(values))

        low, high = bootstrap_interval(after - before)
        gain = float((after - before).mean())
        self.console.print(
            f"{what}, {metric}: {before.mean():.3f} before, {after.mean():.3f} after; gain "
            f"{gain:+.3f} (95 % interval {low:+.3f} to {high:+.3f}, n = {len(after):,})"
        )
        return Comparison(estimate(before), estimate(after), gain, low, high, None)


class _Preferences(_Tuning):
    """DPO, IPO, and reward models: pairs of answers."""

    def __init__(self, *arguments: Any) -> None:
        from groundup.tuning.preference_rows import encode_pairs

        super().__init__(*arguments)
        encode = partial(encode_pairs, tokenizer=self.tokenizer, context=self.settings["context"])
        self.learned, left_out = encode(self.split.learned)
        self.held_out, also = encode(self.split.held_out)
        self.left_out = sorted(left_out + also)

    def show(self) -> None:
        """The counts, and the first pair as the model reads it."""
        self.counted(len(self.learned), len(self.held_out), "pairs", self.left_out)
        for pair in self.learned[:1]:
            prompt = self.tokenizer.decode(pair.chosen[0])
            self.console.print(prompt, style="dim", markup=False, end="")
            for name, (_, answer), style in (
                ("chosen", pair.chosen, "green"), ("rejected", pair.rejected, "red")
            ):  # fmt: skip
                text = f"\n{name}: {self.tokenizer.decode(answer)}"
                self.console.print(text, style=style, markup=False, end="")
            self.console.print()

    def run(self) -> None:
        """Load, train, save, measure on the pairs that are held out."""
        import torch

        from groundup.tuning.preference_rows import (
            PreferenceRows,
            dpo_loss_sum,
            dpo_margins,
            reference_log_probs,
            reward_loss_sum,
            reward_margins,
            share_of_wins,
        )

        method, seed = self.settings["method"], self.settings["seed"]
        rows = [PreferenceRows(self.learned, seed)]
        if self.held_out:
            rows.append(PreferenceRows(self.held_out, seed, first=len(self.learned)))
        if self.is_done():
            return
        with self.console.status("loading the model"):
            base = self.load(wide=method == "reward")
        model: nn.Module
        loss: LossSum
        if method == "reward":
            from groundup.tuning.reward_model import RewardModel

            model = scored = RewardModel(base)
            loss = reward_loss_sum
            self._check_memory(model, loss)
            margins = reward_margins(scored, bfloat16=self.autocast)
        else:
            model = adapted = self.adapt(base)
            kind: Literal["sigmoid", "ipo"] = "ipo" if method == "ipo" else "sigmoid"
            beta, smoothing = self.settings["beta"], self.settings["label_smoothing"]
            options = {"kind": kind, "beta": beta, "label_smoothing": smoothing}
            self._check_memory(model, dpo_loss_sum(torch.zeros(MICRO_BATCH, 2), **options))
            # An adapter adds nothing before it has learned, so that this is the reference.
            model.eval()
            with self.console.status("reading the pairs") as status:
                reference = reference_log_probs(
                    model, rows, micro_batch=MICRO_BATCH,
                    progress=lambda d, n: status.update(f"the reference reads pair {d:,} of {n:,}"),
                )  # fmt: skip
            loss = dpo_loss_sum(reference, **options)
            margins = dpo_margins(model, reference, beta=beta)
        begin(self.out, self.settings)
        self._train(model, rows, loss)
        if method == "reward":
            from groundup.tuning.model_folder import save_tokenizer
            from groundup.tuning.reward_model_folder import save_reward_model

            save_reward_model(scored, self.out)
            save_tokenizer(self.source, self.out)
        else:
            from groundup.tuning.adapter_folder import save_adapter

            save_adapter(self.out, adapted, base=self.settings["model"])
        results = []
        if len(rows) > 1:
            model.eval()
            with self.console.status("comparing the pairs that were held out"):
                after = share_of_wins(margins, rows[1], micro_batch=MICRO_BATCH)
            # Before, every pair is a draw.
            results = [self.gained("held-out pairs", "right order", 0 * after + 0.5, after)]
        self.finish(len(self.learned), len(self.held_out), results)

    def _check_memory(self, model: "nn.Module", loss: "LossSum") -> None:
        import torch

        pairs = min(self.settings["batch"], MICRO_BATCH)
        answers = [answer for pair in self.learned for answer in (pair.chosen, pair.rejected)]
        scored = 0 if self.settings["method"] == "reward" else max(len(a) for _, a in answers)

        def of_length(tokens: int) -> "Tensor":
            inputs = torch.zeros(pairs, 2, 2, tokens, dtype=torch.int64)
            inputs[:, :, 1, -1] = 1
            device = next(model.parameters()).device
            return loss(model, inputs.to(device), torch.arange(pairs), self.autocast)

        self.check_memory(
            model,
            of_length,
            longest=max(len(prompt) + len(answer) for prompt, answer in answers),
            answer=scored,
            together=2 * pairs,
        )

    def _train(self, model: "nn.Module", rows: "list[Any]", loss: "LossSum") -> None:
        from groundup.cli.training_display import TrainingDisplay
        from groundup.training.glibc_malloc import return_freed_memory
        from groundup.training.trainer import train
        from groundup.training.world import World

        batch = self.settings["batch"]
        plan = self.plan(len(rows[0]), batch, min(batch, MICRO_BATCH))
        display = TrainingDisplay(self.console, self.out, plan.steps)

        def report(line: Mapping[str, float]) -> None:
            display.report(line)
            return_freed_memory()

        with self.interruptible(), display.shown():
            train(
                model,
                rows[0],
                plan,
                self.out,
                validation=rows[1] if len(rows) > 1 else None,
                world=World(device=next(model.parameters()).device),
                loss=loss,
                report=report,
            )


class _Grpo(_Tuning):
    """GRPO: questions, and the numbers that are their answers."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.learned, left_out = self._tasks(self.split.learned)
        self.held_out, also = self._tasks(self.split.held_out)
        self.held_out = self.held_out[:HELD_OUT_TASKS]
        self.left_out = sorted(left_out + also)
        if not self.learned:
            raise GroundupError("there is no task to learn from: give more rows, or shorter ones")

    def _tasks(self, examples: "list[Example]") -> "tuple[list[Task], list[int]]":
        """Questions, and what answers to them are worth; and rows that are too long."""
        from groundup.tuning.rewards import last_number
        from groundup.tuning.rollouts import Task

        form = self.settings["form"]
        room = self.settings["context"] - self.settings["answer_tokens"]
        tasks, left_out = [], []
        for example in examples:
            turns = example.messages
            number = last_number(turns[-1]["content"]) if turns else None
            if example.rejected or number is None or turns[-1]["role"] != "assistant":
                raise GroundupError(
                    f"row {example.row} has no number to check answers by: for grpo, rows are "
                    "questions with answers that end in a number (question and answer)"
                )
            prompt = self.tokenizer.encode_chat(turns[:-1], add_generation_prompt=True)
            if len(prompt) > room:
                left_out.append(example.row)
            else:
                reward = partial(_reward, expected=number, form=form and re.compile(form))
                tasks.append(Task(tuple(prompt), reward))
        return tasks, left_out

    def show(self) -> None:
        """The counts, and the first prompt as the model reads it."""
        self.counted(len(self.learned), len(self.held_out), "tasks", self.left_out)
        for task in self.learned[:1]:
            self.console.print(self.tokenizer.decode(task.prompt), style="dim", markup=False)

    def run(self) -> None:
        """Load, train on the model's own answers, save, measure on tasks that are held out."""
        from groundup.models.llama import Llama
        from groundup.training.loss_curve import save_plot
        from groundup.training.run_log import read_log
        from groundup.training.trainer import train
        from groundup.training.world import World
        from groundup.tuning.adapter_folder import save_adapter
        from groundup.tuning.rollouts import Rollouts, rewards_of

        settings = self.settings
        if self.is_done():
            return
        with self.console.status("loading the model"):
            base = self.load(wide=True)
        if not isinstance(base, Llama):
            raise GroundupError("grpo writes its answers by the engine, which reads models of "
                                f"Llama's family, and this is a {type(base).__name__}")  # fmt: skip
        adapted = self.adapt(base)
        self._check_memory(adapted, base)

        @contextmanager
        def policy() -> Iterator[Llama]:
            try:
                yield cast("Llama", adapted.merge())
            finally:
                adapted.unmerge()

        @contextmanager
        def reference() -> Iterator[Llama]:
            with adapted.switched_off() as model:
                yield cast("Llama", model)

        group, beta = settings["group"], settings["beta"]
        rollouts = Rollouts(
            self.learned, self.tokenizer, policy, group=group, seed=settings["seed"],
            max_tokens=settings["answer_tokens"], micro_batch=MICRO_BATCH,
            reference=reference if beta else None,
        )  # fmt: skip
        measured = partial(
            rewards_of, tasks=self.held_out, tokenizer=self.tokenizer,
            max_tokens=settings["answer_tokens"],
        )  # fmt: skip
        before = None
        if self.held_out:
            with self.console.status("asking the model as it is"), policy() as model:
                before = measured(model)  # an adapter adds nothing before it has learned
        batch = settings["batch"] * group
        plan = self.plan(len(rollouts), batch, _micro_batch(settings["batch"], group))
        begin(self.out, settings)
        with self.interruptible(), self._progress(plan.steps) as report:
            train(
                adapted, rollouts, plan, self.out, world=World(device=base.device),
                loss=rollouts.loss_sum(beta=beta), figures=lambda: rollouts.figures, report=report,
            )  # fmt: skip
        adapted.eval()
        save_adapter(self.out, adapted, base=settings["model"])
        results = []
        if before is not None:
            with self.console.status("asking the tuned model"), policy() as model:
                after = measured(model)
            results = [self.gained("held-out tasks", "reward", before, after)]
        try:
            save_plot(read_log(self.out), self.out / "rewards.svg", f"{self.out.name}: GRPO",
                      measured="reward")  # fmt: skip
        except GroundupError as error:  # a curve is not worth losing the rest for
            self.console.print(str(error), markup=False)
        self.finish(len(self.learned), len(self.held_out), results)

    def _check_memory(self, adapted: "AdaptedModel", base: "Llama") -> None:
        import torch

        from groundup.tuning.answer_log_probs import AnswerBatch, answer_log_probs

        settings, config = self.settings, base.config
        written = settings["answer_tokens"]
        longest = max(len(task.prompt) for task in self.learned) + written
        together = _micro_batch(settings["batch"], settings["group"])
        answers = max(settings["batch"] * settings["group"], len(self.held_out))
        # While the engine writes there are the merged matrices, and again as it packs them, keys
        # and values, and scores.
        numbers = sum(p.numel() for p in base.parameters())
        per_token = 2 * config.layers * config.kv_heads * config.head_dim
        writing = 4 * (2 * numbers + answers * (longest * per_token + 2 * config.vocabulary))

        def of_length(tokens: int) -> "Tensor":
            ids = torch.zeros(together, tokens, dtype=torch.int64, device=base.device)
            mask = torch.zeros(together, tokens - 1, dtype=torch.bool, device=base.device)
            mask[:, -1] = True
            with torch.autocast(base.device.type, torch.bfloat16, enabled=self.autocast):
                return answer_log_probs(adapted, AnswerBatch(ids, mask)).sum()

        self.check_memory(
            adapted, of_length, longest=longest, answer=written, together=together, besides=writing
        )

    @contextmanager
    def _progress(self, steps: int) -> Iterator[Callable[[Mapping[str, float]], None]]:
        """A bar with the mean reward; where there is no terminal, some lines."""
        from rich.progress import Progress

        from groundup.training.glibc_malloc import return_freed_memory

        with Progress(console=self.console, disable=not self.console.is_terminal) as bar:
            task = bar.add_task("reward", total=steps)

            def report(line: Mapping[str, float]) -> None:
                return_freed_memory()
                step = int(line["step"])
                text = f"reward {line['reward']:.3f}"
                if "divergence" in line:
                    text += f", divergence {line['divergence']:.3f}"
                bar.update(task, completed=step, description=text)
                if not self.console.is_terminal and step % max(1, steps // LINES) == 0:
                    self.console.print(f"step {step:,} of {steps:,}: {text}")

            yield report


def _micro_batch(batch: int, group: int) -> int:
    """How many answers are read at a time."""
    return MICRO_BATCH if batch * group % MICRO_BATCH == 0 else group


def _reward(answer: str, expected: Any, form: "re.Pattern[str] | None") -> float:
    """1 for the right number, and 1 more for the form where one is asked for."""
    from groundup.tuning.rewards import arithmetic_reward, format_reward

    return arithmetic_reward(answer, expected) + (format_reward(answer, form) if form else 0.0)
