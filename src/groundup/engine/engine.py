"""The inference engine: many requests at a time, one step of the model after another."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Literal

import numpy as np
import torch
from torch import Tensor

from groundup.engine.cpu_kernels import highest_logits
from groundup.engine.draft_model import DraftModel
from groundup.engine.fused_llama import FusedLlama, WeightBits
from groundup.engine.fused_sampling import sample
from groundup.engine.generate import room_for_answer
from groundup.engine.lora_adapter import load_lora_adapter
from groundup.engine.paged_cache import PagedCache
from groundup.engine.plain_llama import PlainLlama
from groundup.engine.request import Constraint, FinishReason, Request, Token
from groundup.engine.sampler import Sampler
from groundup.engine.scheduler import Chunk, Scheduler
from groundup.engine.sequence import Sequence
from groundup.engine.speculation import Draft, LookupDrafter, Speculation
from groundup.engine.speculative_verification import verify_choices, verify_samples
from groundup.engine.step_log import EngineView, StepLog
from groundup.engine.structured_output import Matcher, StructuredOutput
from groundup.errors import GroundupError
from groundup.models.llama import Llama
from groundup.tokenizers.tokenizer import Tokenizer

if TYPE_CHECKING:
    from groundup.engine.cuda_llama import CudaLlama

__all__ = ["Engine"]

DRAFT_TOKENS = 8
# A step of more tokens is as slow as the products in it, and drafts would no longer be for nothing.
SPECULATING_STEP = 32


@dataclass(eq=False)
class _Answer:
    """A request on its way, and what its answer needs from step to step."""

    key: int
    request: Request
    sequence: Sequence
    sampler: Sampler | None  # None: takes the highest score, and no more is asked of it
    matcher: Matcher | None
    state: object  # of the matcher


class Engine:
    """Requests in, tokens out, with continuous batching over a paged cache.

    Greedy answers are those of `groundup.engine.generate.generate`, token for token, in float32.
    """

    def __init__(
        self,
        model: Llama,
        tokenizer: Tokenizer | None = None,
        *,
        fused: bool = True,
        weight_bits: WeightBits | None = None,
        positions: int = 16_384,
        block_size: int = 16,
        token_budget: int = 512,
        max_sequences: int = 64,
        speculate: Llama | Literal["ngram"] | None = None,
        draft_tokens: int = DRAFT_TOKENS,
    ) -> None:
        """Make an engine that holds the keys and values of ``positions`` tokens.

        Args:
            model: on the device to compute on.
            tokenizer: for constraints; without it, requests with one are refused.
            fused: read batches with `FusedLlama` on a CPU, with `CudaLlama` on a GPU; False takes
                `PlainLlama`, as a learner's parts need it.
            weight_bits: fused, with weights of 8 or 4 bits: faster, less exact. On a CPU products
                of 8 bits are of integers (`PackedMatrix`), on a GPU the weights alone are narrow
                (`Int8Matrix`, `Int4Matrix`).
            positions: rounded up to whole blocks.
            block_size, token_budget, max_sequences: as `Scheduler` takes them.
            speculate: where drafts come from: "ngram" copies them from the text (`PromptLookup`),
                a model writes them (`DraftModel`). None drafts nothing.
            draft_tokens: drafted for one sequence in one step, at most.

        Raises:
            GroundupError: the model is on a GPU, and Triton is not installed; the draft model does
                not fit the model.
        """
        if model.config.window is not None or model.config.experts:
            if weight_bits is not None:
                raise GroundupError(
                    f"int{weight_bits}: not for models with a sliding window or with experts"
                )
            fused = False  # the fused passes know neither
        device = model.embed_tokens.weight.device
        blocks = -(-positions // block_size)
        self._model = model
        self._block_size = block_size
        self._reader: FusedLlama | PlainLlama | CudaLlama
        if fused and device.type == "cpu":
            # Keys and values as exact as the matrices: what is read most should be small.
            dtype = model.embed_tokens.weight.dtype
            cache = PagedCache(model.config, blocks, block_size, dtype, device)
            self._reader = FusedLlama(model, cache, weight_bits=weight_bits)
        elif fused and device.type == "cuda":
            self._reader = _cuda_llama()(
                model, blocks, block_size, graph_rows=max_sequences, weight_bits=weight_bits
            )
        else:
            cache = PagedCache(model.config, blocks, block_size, model.dtype, device)
            self._reader = PlainLlama(model, cache)
        self.scheduler = Scheduler(
            blocks, block_size, token_budget=token_budget, max_sequences=max_sequences
        )
        self.log = StepLog(self.scheduler, block_size)
        self.speculation: Speculation | None = None
        if speculate is not None:
            self.speculation = Speculation(
                LookupDrafter()
                if speculate == "ngram"
                else DraftModel(speculate, model.config, blocks, block_size, fused=fused),
                self.scheduler,
                block_size,
                most=draft_tokens,
                step_tokens=min(token_budget, SPECULATING_STEP),
            )
        self._forms = None if tokenizer is None else StructuredOutput(tokenizer)
        self._adapters: dict[str, bytes] = {}  # digests by name
        self._answers: dict[int, _Answer] = {}
        self._answer_of: dict[Sequence, _Answer] = {}
        self._key_of: dict[Sequence, int] = {}
        self.prompt_tokens = 0  # looked up in the prefix cache since the start
        self.cached_tokens = 0  # and found there

    @property
    def busy(self) -> bool:
        """Whether `step` has something to do."""
        return bool(self._answers)

    def load_adapter(self, name: str, folder: Path) -> None:
        """Let requests ask for a LoRA adapter by this name.

        Raises:
            GroundupError: there is one of this name; or as `load_lora_adapter` does.
        """
        if name in self._adapters:
            raise GroundupError(f"there is an adapter {name!r} already: choose another name")
        adapter = load_lora_adapter(folder, self._model)
        self._reader.place_adapter(adapter)
        self._adapters[name] = adapter.digest

    def add(self, key: int, request: Request) -> None:
        """Take up a request under a key of the caller's, which its tokens will bear.

        Raises:
            GroundupError: the prompt is empty or does not fit, the constraint is not possible, or
                there is no such adapter.
            ValueError: a request with this key is there already.
        """
        if key in self._answers:
            raise ValueError(f"there is a request {key!r} already")
        prompt = request.prompt
        room = room_for_answer(len(prompt), self._model.config.context)
        new = room if request.max_tokens is None else min(room, request.max_tokens)
        if new < 1:
            raise GroundupError(f"max_tokens must be at least 1, got {request.max_tokens}")
        # The last token that is chosen is never read, and needs no place.
        positions = self.scheduler.allocator.size * self._block_size
        last_length = min(len(prompt) + new, positions)
        if len(prompt) >= positions:
            raise GroundupError(
                f"the prompt is {len(prompt):,} tokens long and the engine's cache holds "
                f"{positions:,}: shorten it, or give the engine more positions"
            )
        root = b"" if request.adapter is None else self._adapters.get(request.adapter)
        if root is None:
            raise GroundupError(f"there is no adapter {request.adapter!r}: load it first")
        matcher = None if request.constraint is None else self._matcher(request.constraint)
        sequence = Sequence(list(prompt), len(prompt), last_length, root=root)
        state = None if matcher is None else matcher.start()
        plain = matcher is None and request.logprobs is None and request.params.takes_highest
        sampler = None if plain else Sampler(request.params)
        answer = _Answer(key, request, sequence, sampler, matcher, state)
        self.scheduler.add(sequence)
        self._answers[key] = self._answer_of[sequence] = answer
        self._key_of[sequence] = key

    def cancel(self, key: int) -> None:
        """Forget a request and free its blocks at once; nothing happens where it has ended."""
        answer = self._answers.get(key)
        if answer is not None:
            self._remove(answer)

    def step(self) -> list[tuple[int, Token]]:
        """Read one batch; returns the new tokens of each request that has some, by its key."""
        start = perf_counter()
        batch = self.scheduler.schedule()
        if not batch:
            return []
        for chunk in batch:
            sequence = chunk.sequence
            if sequence.read == sequence.cached and len(sequence.tokens) == sequence.prompt_length:
                self.prompt_tokens += sequence.prompt_length
                self.cached_tokens += sequence.cached
        batch, drafts = self._draft(batch)
        self.log.begin(start, batch, self._key_of)
        logits = self._reader.read(batch)
        highest = _highest(logits)
        tokens: list[tuple[int, Token]] = []
        row = 0
        for chunk, draft in zip(batch, drafts, strict=True):
            answer = self._answer_of[chunk.sequence]
            if draft is not None:
                rows = slice(row, row + chunk.outputs)
                new = self._verify(answer, chunk, draft, logits[rows], highest[rows])
            else:
                self.scheduler.advance(chunk)
                new = []
                if chunk.sequence.unread == 0:
                    new = [self._choose(answer, logits, highest, row)]
            row += chunk.outputs
            for token in new:
                tokens.append((answer.key, token))
                if token.finish_reason is not None:
                    self._remove(answer)
        self.log.end()
        return tokens

    def view(self) -> EngineView:
        """The last steps, and what the cache holds; between two steps."""
        return self.log.view(self._key_of)

    @torch.inference_mode()
    def embed(self, prompt: tuple[int, ...]) -> Tensor:
        """The mean of the last layer's outputs over a prompt, of length 1; returns (dim,)."""
        if not 0 < len(prompt) <= self._model.config.context:
            raise GroundupError(
                f"a text to embed has 1 to {self._model.config.context:,} tokens, got {len(prompt)}"
            )
        ids = torch.tensor([prompt], device=self._model.embed_tokens.weight.device)
        mean = self._model.hidden(ids)[0].float().mean(0).cpu()
        unit: Tensor = mean / mean.norm().clamp_min(1e-12)
        return unit

    def _matcher(self, constraint: Constraint) -> Matcher:
        if self._forms is None:
            raise GroundupError("this engine has no tokenizer, which constraints need")
        return self._forms.compile(constraint)

    def _draft(self, batch: list[Chunk]) -> tuple[list[Chunk], list[Draft | None]]:
        if self.speculation is None:
            return batch, [None] * len(batch)
        answers = [self._answer_of[chunk.sequence] for chunk in batch]
        return self.speculation.extend(
            batch,
            [answer.sampler for answer in answers],
            [answer.request.stop_ids for answer in answers],
        )

    def _verify(
        self, answer: _Answer, chunk: Chunk, draft: Draft, logits: Tensor, highest: list[int]
    ) -> list[Token]:
        """The tokens that stand, from logits (drafted tokens + 1, vocabulary)."""
        assert self.speculation is not None
        del answer.sequence.tokens[-len(draft.tokens) :]
        tokens: list[Token] = []
        if draft.scores is None:

            def choices() -> Iterator[int]:
                for row in range(len(logits)):
                    tokens.append(self._choose(answer, logits, highest, row))
                    yield tokens[-1].id

            ids = verify_choices(choices(), draft.tokens)
        else:
            sampler = answer.sampler
            assert sampler is not None

            def scores() -> Iterator[Tensor]:
                for row, token in zip(logits, [*draft.tokens, -1], strict=True):
                    if tokens and tokens[-1].finish_reason is not None:
                        yield row  # what is drawn behind the end is not looked at
                    else:
                        yield sampler.scores(*self._allowed(answer, row))
                    tokens.append(self._take(answer, row, token))  # more is asked for: it stands

            ids = verify_samples(scores(), draft.tokens, draft.scores, sampler.generator)
            if not tokens or tokens[-1].finish_reason is None:
                tokens.append(self._take(answer, logits[len(tokens)], ids[-1]))
        self.scheduler.advance(self.speculation.settle(chunk, draft, len(ids) - 1))
        return tokens

    def _choose(self, answer: _Answer, batch: Tensor, highest: list[int], row: int) -> Token:
        """The next token, from a row of logits (rows, vocabulary) and the ids of the highest."""
        sampler, params = answer.sampler, answer.request.params
        if sampler is None:
            return self._append(answer, highest[row])  # most rows, so no tensor is made for it
        logits = batch[row]
        scores, ids = self._allowed(answer, logits)
        if isinstance(self._reader, FusedLlama) and params.temperature:
            scores = sampler.penalised(scores, ids)
            u = torch.rand(1, dtype=torch.float64, generator=sampler.generator).item()
            return self._take(answer, logits, sample(scores.numpy(), params, u))
        return self._take(answer, logits, sampler(scores, ids))

    def _allowed(self, answer: _Answer, logits: Tensor) -> tuple[Tensor, Tensor]:
        """What a sampler is asked about: scores of what the form allows, and the ids so far."""
        scores = logits
        if answer.matcher is not None:
            allowed = torch.from_numpy(np.array(answer.matcher.mask(answer.state)))  # type: ignore[arg-type]
            scores = logits.masked_fill(~allowed.to(logits.device), -torch.inf)
        # All tokens so far, as a tensor, cost a long sequence more than the choice.
        previous = answer.sequence.tokens if answer.request.params.penalises else []
        return scores, torch.tensor(previous, dtype=torch.int64, device=logits.device)

    def _take(self, answer: _Answer, logits: Tensor, chosen: int) -> Token:
        """Append a token, and report what the request wants to know of it."""
        request = answer.request
        if answer.matcher is not None:
            answer.state = answer.matcher.advance(answer.state, chosen)  # type: ignore[arg-type]
        if request.logprobs is None:
            return self._append(answer, chosen)
        logprobs = torch.log_softmax(logits, dim=0)
        best = logprobs.topk(request.logprobs)
        top = tuple(zip(best.indices.tolist(), best.values.tolist(), strict=True))
        return self._append(answer, chosen, float(logprobs[chosen]), top)

    def _append(
        self,
        answer: _Answer,
        chosen: int,
        logprob: float | None = None,
        top: tuple[tuple[int, float], ...] = (),
    ) -> Token:
        sequence = answer.sequence
        sequence.tokens.append(chosen)
        reason: FinishReason | None = None
        if chosen in answer.request.stop_ids:
            reason = "stop"
        elif len(sequence.tokens) >= sequence.last_length:
            reason = "length"
        return Token(chosen, logprob, top, reason)

    def _remove(self, answer: _Answer) -> None:
        self.scheduler.remove(answer.sequence)
        del self._answers[answer.key], self._answer_of[answer.sequence]
        del self._key_of[answer.sequence]
        if self.speculation is not None:
            self.speculation.forget(answer.sequence)


def _highest(logits: Tensor) -> list[int]:
    """The id of each row's highest score, of (N, vocabulary)."""
    if logits.device.type != "cpu":
        ids: list[int] = logits.argmax(1).tolist()
        return ids
    highest = np.empty(len(logits), np.int64)
    highest_logits(logits.numpy(), highest)
    found: list[int] = highest.tolist()
    return found


def _cuda_llama() -> "type[CudaLlama]":
    """The reader on a GPU, imported where there is one: its kernels need Triton.

    Raises:
        GroundupError: Triton is not installed.
    """
    try:
        from groundup.engine.cuda_llama import CudaLlama
    except ModuleNotFoundError as error:
        raise GroundupError(
            f"on a GPU the engine needs {error.name}, which is not installed: pip install "
            "'groundup[gpu]', or give the engine fused=False, which is slower"
        ) from None
    return CudaLlama
