"""``groundup tune``: from a chat model and a file of examples to one that answers like these."""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from groundup.cli import tune_preferences
from groundup.cli.tune_folder import begin, finish, is_tuned
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console
    from torch import nn

    from groundup.cli.tune_display import Sample
    from groundup.evaluation.summary import Comparison
    from groundup.models.gpt2 import GPT2
    from groundup.models.language_model import LanguageModel
    from groundup.models.llama import Llama
    from groundup.tokenizers.tokenizer import Tokenizer
    from groundup.training.trainer import Plan
    from groundup.tuning.adapt import AdaptedModel
    from groundup.tuning.examples import Split
    from groundup.tuning.sequence_packing import PackedModel

__all__ = ["train_with_fused_layers", "tune"]

# Peak learning rates: what is trained is the smaller, and the further from the weights, the larger.
RATES = {"full": 5e-5, "lora": 5e-4, "dora": 5e-4, "qlora": 5e-4, "prefix": 1e-2, "prompt": 3e-2,
         "ia3": 5e-3}  # fmt: skip
METHODS = RATES | tune_preferences.RATES
SAMPLES = 3  # held-out prompts whose answers are shown before and after
SAMPLE_TOKENS = 64
EVALUATIONS = 5  # in a training
EVALUATION_ROWS = 64  # of the held-out ones, at most, in each
BEFORE = "before.json"


def tune(
    data: Annotated[Path, typer.Argument(help="Examples: a .jsonl, .csv or .parquet file.")],
    model: Annotated[
        str, typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    method: Annotated[str, typer.Option(help=f"{', '.join(METHODS)}.")] = "lora",
    out: Annotated[
        Path | None, typer.Option(help="The result's folder.", show_default="<data>-<method>")
    ] = None,
    epochs: Annotated[float, typer.Option(help="How often each example is learned.")] = 3,
    learning_rate: Annotated[
        float | None, typer.Option(help="At its peak.", show_default="from the method")
    ] = None,
    batch: Annotated[int, typer.Option(min=1, help="Packed rows of a step.")] = 4,
    context: Annotated[
        int, typer.Option(min=8, help="Tokens of a row; the end of a longer example is cut off.")
    ] = 1024,
    validation: Annotated[
        float, typer.Option(min=0, max=0.9, help="The share of examples that is held out.")
    ] = 0.1,
    rank: Annotated[int, typer.Option(min=1, help="Of LoRA, DoRA and QLoRA.")] = 16,
    alpha: Annotated[float, typer.Option(help="Their addition is times alpha / rank.")] = 32,
    rs_lora: Annotated[bool, typer.Option("--rs-lora", help="alpha / √rank instead.")] = False,
    dropout: Annotated[float, typer.Option(min=0, max=0.9, help="Of their inputs.")] = 0.0,
    targets: Annotated[
        str | None,
        typer.Option(help="Layers, as a regular expression.", show_default="from the method"),
    ] = None,
    virtual_tokens: Annotated[int, typer.Option(min=1, help="Of a prefix or a prompt.")] = 20,
    beta: Annotated[
        float | None,
        typer.Option(
            help="The price of moving away from the reference, in dpo, ipo and grpo.",
            show_default="0.1, in grpo 0",
        ),
    ] = None,
    label_smoothing: Annotated[
        float, typer.Option(help="The share of preferences that dpo takes to be wrong.")
    ] = 0.0,
    group: Annotated[int, typer.Option(min=2, help="Answers to a question, in grpo.")] = 8,
    answer_tokens: Annotated[int, typer.Option(min=1, help="Of such an answer, at most.")] = 128,
    form: Annotated[
        str | None,
        typer.Option(help="A regular expression; grpo rewards answers that are so, too."),
    ] = None,
    precision: Annotated[
        str, typer.Option(help="auto, bfloat16 or float32: what products are computed in.")
    ] = "auto",
    seed: Annotated[int, typer.Option(min=0, max=2**31)] = 0,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be learned, and stop.")
    ] = False,
) -> None:
    """Tune a chat model on examples of your own.

    Rows are chats (messages), instructions (instruction, input, output), preferences (prompt,
    chosen, rejected) or texts (text). Only what the assistant says is learned. From preferences,
    dpo and ipo learn both answers, and reward makes a model that scores answers; grpo learns from
    questions whose answers end in a number, by writing answers of its own. The same command again
    goes on where it was stopped.
    """
    if method not in METHODS:
        raise GroundupError(f"--method is {method!r}: expected one of {', '.join(METHODS)}")
    if precision not in ("auto", "bfloat16", "float32"):
        raise GroundupError(f"--precision is {precision!r}: expected auto, bfloat16 or float32")
    rate = METHODS[method] if learning_rate is None else learning_rate
    for name, value in (("epochs", epochs), ("learning-rate", rate), ("alpha", alpha)):
        if not value > 0:
            raise GroundupError(f"--{name} is {value}: expected more than 0")
    by_preferences = method in tune_preferences.RATES
    if by_preferences:
        beta = tune_preferences.check_options(method, beta, label_smoothing, form)

    from rich.console import Console

    from groundup.cli.train_gpt import put_parts_in_place
    from groundup.training.onednn_caches import keep_few_primitives

    put_parts_in_place()
    keep_few_primitives()
    console = Console(highlight=False)
    with console.status("starting"):
        from groundup.cli.tune_display import show_data, show_example
        from groundup.models.load_tokenizer import load_tokenizer
        from groundup.models.locate import locate
        from groundup.tuning.data_file import read_data_file
        from groundup.tuning.examples import split_examples

    path = locate(model)  # a model that has to be fetched shows its own progress
    with console.status("reading the examples"):
        tokenizer = load_tokenizer(str(path))
        file = read_data_file(data)
    settings: dict[str, Any] = {
        "data": data.name, "data_sha256": file.sha256, "form": file.form, "model": model,
        "method": method, "epochs": epochs, "learning_rate": rate, "batch": batch,
        "context": context, "validation": validation, "rank": rank, "alpha": alpha,
        "rs_lora": rs_lora, "dropout": dropout, "targets": targets,
        "virtual_tokens": virtual_tokens, "precision": precision, "seed": seed,
    }  # fmt: skip
    folder = out or Path(f"{data.stem}-{method}")
    if by_preferences:
        settings |= {
            "beta": beta, "label_smoothing": label_smoothing, "group": group,
            "answer_tokens": answer_tokens, "form": form,
        }  # fmt: skip
        tune_preferences.tune_by_preferences(
            settings, file.examples, tokenizer, path, folder, console, dry_run=dry_run
        )
        return
    with console.status("reading the examples"):
        split = split_examples(file.examples, tokenizer, context, validation, seed)
    show_data(console, file, split, context)
    if dry_run:
        if split.training.sequences:
            show_example(console, tokenizer, split.training.sequences[0])
        return
    _Tuning(settings, split, tokenizer, path, folder, console).run()


@dataclass(frozen=True)
class _Measured:
    """What is compared before and after."""

    losses: list[float]  # of each held-out sequence, nats a token
    tokens: list[int]  # of each, that count
    answers: list[str]


class _Tuning:
    """One tuning, from its data to its result."""

    def __init__(
        self,
        settings: dict[str, Any],
        split: "Split",
        tokenizer: "Tokenizer",
        source: Path,
        out: Path,
        console: "Console",
    ) -> None:
        from groundup.tuning.supervised import SupervisedRows

        self.settings, self.split, self.tokenizer = settings, split, tokenizer
        self.source, self.out, self.console = source, out, console
        context, seed = settings["context"], settings["seed"]
        self.rows = SupervisedRows(split.training.sequences, context, seed)
        held_out = split.validation.sequences
        self.held_out = SupervisedRows(held_out, context, seed) if held_out else None

    def run(self) -> None:
        """Load, train, save, compare."""
        from groundup.cli.training_display import TrainingDisplay
        from groundup.cli.tune_display import Sample, show_result
        from groundup.training.glibc_malloc import return_freed_memory
        from groundup.training.loss_curve import save_plot
        from groundup.training.run_log import read_log
        from groundup.training.trainer import Interrupted, train
        from groundup.training.world import World
        from groundup.tuning.supervised import supervised_loss_sum

        if is_tuned(self.out, self.settings, self.console):
            self._say_how_to_use()
            return
        return_freed_memory()
        with self.console.status("loading the model"):
            base = self._base()
        prompts = self._prompts()
        before = self._before(base, prompts)
        adapted = self._adapted(base)
        # What has no tokens before a text is in the base's layers, which can be read packed.
        before_a_text = adapted is not None and not adapted.layers
        model = cast("nn.Module", adapted if before_a_text else base)
        plan = self._plan()
        self._check_memory(model, base, adapted)
        filled = float((self.rows.inputs[:, 1] >= 0).float().mean())
        trained = sum(p.numel() for p in model.parameters() if p.requires_grad)
        self.console.print(
            f"{trained / 1e6:,.2f} million parameters, {len(self.rows):,} packed rows of "
            f"{self.settings['context']:,} tokens ({filled:.0%} full), {plan.steps:,} steps"
        )
        begin(self.out, self.settings, before=asdict(before))
        display = TrainingDisplay(self.console, self.out, plan.steps)

        quantized = self.settings["method"] == "qlora"  # each token would unpack every matrix

        def report(line: Mapping[str, float]) -> None:
            display.report(line)
            return_freed_memory()

        def sample() -> None:
            if prompts and not quantized:
                display.wrote(self._answer(model, prompts[0][2]))

        try:
            with display.shown():
                train(
                    model,
                    self.rows,
                    plan,
                    self.out,
                    validation=self.held_out,
                    world=World(device=base.device),
                    loss=supervised_loss_sum,
                    report=report,
                    sample=sample,
                )
        except Interrupted:
            self.console.print("stopped; the same command goes on from here")
            raise typer.Exit(130) from None
        model.eval()
        self._save(base, adapted)
        with self.console.status("asking the tuned model"):
            if adapted is not None and quantized:
                model = adapted.merge()
            after = self._measured(model, prompts)
        try:
            save_plot(read_log(self.out), self.out / "losses.svg", f"{self.out.name}: tuning")
        except GroundupError as error:  # a curve is not worth losing the rest for
            self.console.print(str(error), markup=False)
        samples = [
            Sample(asked, expected, was, now)
            for (asked, expected, _), was, now in zip(
                prompts, before.answers, after.answers, strict=True
            )
        ]
        results = [_compared(before, after)] if after.losses else []
        rows = {"training": len(self.split.training.sequences),
                "validation": len(self.split.validation.sequences)}  # fmt: skip
        notes = {"Answers before and after": _side_by_side(samples)} if samples else {}
        finish(self.out, self.settings, self.source, rows, results, notes)
        show_result(self.console, results, samples)
        self._say_how_to_use()

    def _say_how_to_use(self) -> None:
        whole = self.settings["method"] == "full"
        option = "--model" if whole else f"--model {self.settings['model']} --adapter"
        self.console.print(f"talk to it: groundup chat {option} {self.out}", markup=False,
                           soft_wrap=True)  # fmt: skip

    def _base(self) -> "Llama | GPT2":
        """The model as it came, attending as it is trained quickest."""
        import torch

        from groundup.models.load import fastest_dtype, load_language_model

        settings = self.settings
        auto = settings["precision"] == "auto"
        dtype = fastest_dtype() if auto else getattr(torch, settings["precision"])
        full = settings["method"] == "full"
        # What is trained is float32; a base that stays as it is may be narrower.
        base = load_language_model(str(self.source), torch.float32 if full else dtype)[0]
        room = base.config.context
        if settings["method"] in ("prefix", "prompt"):
            room -= settings["virtual_tokens"]
        if settings["context"] > room:
            raise GroundupError(f"--context is {settings['context']}: the model reads at most "
                                f"{room} tokens")  # fmt: skip
        self.autocast = full and dtype == torch.bfloat16
        train_with_fused_layers(base)
        return base

    def _adapted(self, base: "Llama | GPT2") -> "AdaptedModel | None":
        """The base with an adapter; None where all of it is trained."""
        from groundup.tuning.adapt import adapt
        from groundup.tuning.adapter_config import AdapterConfig

        settings = self.settings
        if settings["method"] == "full":
            base.requires_grad_(True)
            return None
        config = AdapterConfig(
            settings["method"],
            rank=settings["rank"],
            alpha=settings["alpha"],
            dropout=settings["dropout"],
            rank_stabilized=settings["rs_lora"],
            targets=settings["targets"],
            virtual_tokens=settings["virtual_tokens"],
        )
        return adapt(base, config, seed=settings["seed"])

    def _plan(self) -> "Plan":
        from groundup.training.trainer import Plan

        batch = self.settings["batch"]
        steps = max(1, math.ceil(self.settings["epochs"] * len(self.rows) / batch))
        return Plan(
            steps=steps,
            batch=batch,
            micro_batch=1,
            learning_rate=self.settings["learning_rate"],
            warmup=min(100, steps // 10),
            weight_decay=0.0,
            seed=self.settings["seed"],
            bfloat16=self.autocast,
            evaluate_every=max(1, steps // EVALUATIONS),
            evaluation_rows=EVALUATION_ROWS,
            checkpoint_every=max(1, min(50, steps // EVALUATIONS)),
        )

    def _check_memory(
        self, model: "nn.Module", base: "Llama | GPT2", adapted: "AdaptedModel | None"
    ) -> None:
        """Say what the tuning takes; refuse what cannot be had, with what would fit."""
        import torch

        from groundup.training.gradient_accumulation import IGNORED
        from groundup.tuning.chunked_cross_entropy import CHUNK
        from groundup.tuning.memory_estimate import (
            MemoryEstimate,
            available_memory,
            check_memory,
            estimate_memory,
            probe_memory,
            score_bytes,
        )
        from groundup.tuning.supervised import read_at_once, supervised_loss_sum

        def loss(tokens: int) -> "torch.Tensor":
            inputs = torch.stack((torch.zeros(tokens, dtype=torch.int64), torch.arange(tokens)))
            targets = torch.full((1, tokens), IGNORED)
            targets[0, -1] = 0
            return supervised_loss_sum(
                model, inputs[None].to(base.device), targets.to(base.device), self.autocast
            )

        context = self.settings["context"]
        probe = probe_memory(model, loss, context)
        sets = [rows for rows in (self.rows, self.held_out) if rows is not None]
        counted = max(int((rows.targets != IGNORED).sum(dim=1).max()) for rows in sets)
        read, longest = read_at_once(cast("PackedModel", model), self.rows.inputs[:, 1])
        virtual = adapted.virtual_tokens if adapted is not None else 0
        texts = math.ceil(read / longest)
        # Of a frozen output layer that is at hand, scores are made in chunks.
        chunk = CHUNK if adapted is not None and model is base else None
        merged = 0
        if adapted is not None and self.settings["method"] == "qlora":  # to answer
            merged = sum(
                layer.base.in_features * layer.base.out_features * layer.dtype.itemsize
                for layer in adapted.layers.values()
            )

        def estimate(context: int) -> MemoryEstimate:
            return estimate_memory(
                model,
                probe,
                tokens=min(read, texts * context) + texts * virtual,
                longest=min(longest, context) + virtual,
                scores=score_bytes(min(counted, context), base.config.vocabulary, chunk=chunk),
                besides=merged,
            )

        wanted = estimate(context)
        others = [
            (f"--context {shorter}", estimate(shorter))
            for shorter in (context >> 1, context >> 2, context >> 3, context >> 4)
            if shorter >= 64
        ]
        if adapted is None:
            others.append(("--method lora", replace(wanted, gradients=0, optimizer=0)))
        line = check_memory(wanted, available_memory(base.device), others)
        self.console.print(line)

    def _prompts(self) -> list[tuple[str, str, list[int]]]:
        """Held-out questions, the answers in the data, and the tokens to answer."""
        from groundup.tuning.loss_mask import mask_text

        found = []
        for example in self.split.held_out[:SAMPLES]:
            if example.messages:
                last = max(i for i, m in enumerate(example.messages) if m["role"] == "assistant")
                turns = example.messages[: last + 1]
                ids = self.tokenizer.encode_answer(turns)[0]
                asked, expected = turns[-2]["content"] if last else "", turns[-1]["content"]
            else:
                whole = mask_text(self.tokenizer, example.text).ids
                ids, rest = whole[: len(whole) // 2], whole[len(whole) // 2 :]
                asked, expected = (self.tokenizer.decode(part, skip_special=True) for part in
                                   (ids, rest))  # fmt: skip
            if 0 < len(ids) <= self.settings["context"]:
                found.append((asked, expected, ids))
        return found

    def _before(self, model: "nn.Module", prompts: list[tuple[str, str, list[int]]]) -> _Measured:
        """The model as it came; kept in a file, as a resumed training has it no more."""
        path = self.out / BEFORE
        if path.exists():
            return _Measured(**json.loads(path.read_text("utf-8")))
        with self.console.status("asking the model as it is"):
            return self._measured(model, prompts)

    def _measured(self, model: "nn.Module", prompts: list[tuple[str, str, list[int]]]) -> _Measured:
        """The loss of each sequence that is held out, and answers."""
        import torch

        from groundup.training.gradient_accumulation import IGNORED
        from groundup.tuning.supervised import SupervisedRows, supervised_loss_sum

        model.eval()
        losses, tokens = [], []
        device = next(model.parameters()).device
        for sequence in self.split.validation.sequences:
            alone = SupervisedRows([sequence], len(sequence.ids) - 1, seed=0)
            with torch.no_grad():
                nats = supervised_loss_sum(
                    model, alone.inputs.to(device), alone.targets.to(device), self.autocast
                )
            tokens.append(int((alone.targets != IGNORED).sum()))
            losses.append(float(nats) / tokens[-1])
        return _Measured(losses, tokens, [self._answer(model, ids) for _, _, ids in prompts])

    def _answer(self, model: "nn.Module", ids: list[int]) -> str:
        from groundup.engine.generate import generate
        from groundup.engine.sampling_params import SamplingParams

        written = generate(
            cast("LanguageModel", model.eval()),
            ids,
            SamplingParams(temperature=0),
            stop_ids=self.tokenizer.eos_ids,
            max_tokens=SAMPLE_TOKENS,
        )
        return self.tokenizer.decode(list(written), skip_special=True)

    def _save(self, base: "Llama | GPT2", adapted: "AdaptedModel | None") -> None:
        """The adapter, or the whole model with its tokenizer."""
        if adapted is None:
            from groundup.tuning.model_folder import save_model_folder

            save_model_folder(base, self.source, self.out)
        else:
            from groundup.tuning.adapter_folder import save_adapter

            save_adapter(self.out, adapted, base=self.settings["model"])


def train_with_fused_layers(model: "nn.Module") -> None:
    """Let a model train faster. Where a learner's layer is swapped in, that one trains."""
    from groundup.models import attention, fused_attention, fused_swiglu, swiglu

    here = Path(fused_attention.__file__).parent
    for module in model.modules():
        if getattr(module, "attend", None) is attention.attention:
            if Path(attention.__file__ or "").parent == here:
                module.attend = fused_attention.fused_attention  # type: ignore[assignment]
        elif type(module) is swiglu.SwiGLU and Path(swiglu.__file__ or "").parent == here:
            module.__class__ = fused_swiglu.FusedSwiGLU


def _compared(before: _Measured, after: _Measured) -> "Comparison":
    """The perplexity of what is held out, with the paired bootstrap over its sequences."""
    from groundup.evaluation.bootstrap import bootstrap_interval
    from groundup.evaluation.summary import Comparison, Estimate

    def mean(values: list[float]) -> float:
        return sum(v * w for v, w in zip(values, after.tokens, strict=True)) / sum(after.tokens)

    def span(values: list[float]) -> tuple[float, float] | tuple[None, None]:
        return bootstrap_interval(values, after.tokens) if len(values) > 1 else (None, None)

    def estimate(values: list[float]) -> Estimate:
        low, high = (None if end is None else math.exp(end) for end in span(values))
        value = math.exp(mean(values))
        return Estimate("held-out answers", "perplexity", len(values), value, low, high)

    gains = [b - a for a, b in zip(before.losses, after.losses, strict=True)]
    low, high = (None if end is None else math.expm1(end) for end in span(gains))
    return Comparison(
        estimate(before.losses), estimate(after.losses), math.expm1(mean(gains)), low, high, None
    )


def _side_by_side(samples: "list[Sample]") -> str:
    """Questions and answers as quoted Markdown."""

    def quoted(text: str) -> str:
        return "\n".join(f"    {line}" for line in text.strip().splitlines())

    return "\n\n".join(
        f"Asked:\n\n{quoted(s.asked)}\n\nBefore:\n\n{quoted(s.before)}\n\nAfter:\n\n"
        f"{quoted(s.after)}\n\nIn the data:\n\n{quoted(s.expected)}"
        for s in samples
    )
