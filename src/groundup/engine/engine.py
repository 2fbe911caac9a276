"""The inference engine: many requests at a time, one step of the model after another."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from groundup.engine.cpu_kernels import highest_logits
from groundup.engine.fused_llama import FusedLlama
from groundup.engine.fused_sampling import sample
from groundup.engine.generate import room_for_answer
from groundup.engine.lora_adapter import load_lora_adapter
from groundup.engine.paged_cache import PagedCache
from groundup.engine.plain_llama import PlainLlama
from groundup.engine.request import Constraint, FinishReason, Request, Token
from groundup.engine.sampler import Sampler
from groundup.engine.scheduler import Scheduler
from groundup.engine.sequence import Sequence
from groundup.engine.structured_output import Matcher, StructuredOutput
from groundup.errors import GroundupError
from groundup.models.llama import Llama
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Engine"]


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
        int8: bool = False,
        positions: int = 16_384,
        block_size: int = 16,
        token_budget: int = 512,
        max_sequences: int = 64,
    ) -> None:
        """Make an engine that holds the keys and values of ``positions`` tokens.

        Args:
            model: on the device to compute on.
            tokenizer: for constraints; without it, requests with one are refused.
            fused: on a CPU, read batches with `FusedLlama`; False takes `PlainLlama`, as a
                learner's parts need it.
            int8: on a CPU, multiply in 8-bit integers (`PackedMatrix`): faster, less exact.
            positions: rounded up to whole blocks.
            block_size, token_budget, max_sequences: as `Scheduler` takes them.
        """
        device = model.embed_tokens.weight.device
        blocks = -(-positions // block_size)
        self._model = model
        self._reader: FusedLlama | PlainLlama
        if fused and device.type == "cpu":
            # Keys and values as exact as the matrices: what is read most should be small.
            dtype = model.embed_tokens.weight.dtype
            self._cache = PagedCache(model.config, blocks, block_size, dtype, device)
            self._reader = FusedLlama(model, self._cache, int8=int8)
        else:
            self._cache = PagedCache(model.config, blocks, block_size, model.dtype, device)
            self._reader = PlainLlama(model, self._cache)
        self.scheduler = Scheduler(
            blocks, block_size, token_budget=token_budget, max_sequences=max_sequences
        )
        self._forms = None if tokenizer is None else StructuredOutput(tokenizer)
        self._adapters: dict[str, bytes] = {}  # digests by name
        self._answers: dict[int, _Answer] = {}
        self._answer_of: dict[Sequence, _Answer] = {}
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
        positions = self.scheduler.allocator.size * self._cache.block_size
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

    def cancel(self, key: int) -> None:
        """Forget a request and free its blocks at once; nothing happens where it has ended."""
        answer = self._answers.get(key)
        if answer is not None:
            self._remove(answer)

    def step(self) -> list[tuple[int, Token]]:
        """Read one batch; returns the new token of each request that has one, by its key."""
        batch = self.scheduler.schedule()
        if not batch:
            return []
        for chunk in batch:
            sequence = chunk.sequence
            if sequence.read == sequence.cached and len(sequence.tokens) == sequence.prompt_length:
                self.prompt_tokens += sequence.prompt_length
                self.cached_tokens += sequence.cached
        logits = self._reader.read(batch)
        highest = _highest(logits)
        tokens: list[tuple[int, Token]] = []
        for row, chunk in enumerate(batch):
            self.scheduler.advance(chunk)
            if chunk.sequence.unread == 0:
                answer = self._answer_of[chunk.sequence]
                if answer.sampler is None:
                    token = self._append(answer, highest[row])
                else:
                    token = self._choose(answer, answer.sampler, logits[row])
                tokens.append((answer.key, token))
                if token.finish_reason is not None:
                    self._remove(answer)
        return tokens

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

    def _choose(self, answer: _Answer, sampler: Sampler, logits: Tensor) -> Token:
        request, sequence = answer.request, answer.sequence
        scores = logits
        if answer.matcher is not None:
            allowed = torch.from_numpy(np.array(answer.matcher.mask(answer.state)))  # type: ignore[arg-type]
            scores = logits.masked_fill(~allowed.to(logits.device), -torch.inf)
        # All tokens so far, as a tensor, cost a long sequence more than the choice.
        previous = sequence.tokens if request.params.penalises else []
        ids = torch.tensor(previous, dtype=torch.int64, device=logits.device)
        if isinstance(self._reader, FusedLlama) and request.params.temperature:
            scores = sampler.penalised(scores, ids)
            u = torch.rand(1, dtype=torch.float64, generator=sampler.generator).item()
            chosen = sample(scores.numpy(), request.params, u)
        else:
            chosen = sampler(scores, ids)
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


def _highest(logits: Tensor) -> list[int]:
    """The id of each row's highest score, of (N, vocabulary)."""
    if logits.device.type != "cpu":
        ids: list[int] = logits.argmax(1).tolist()
        return ids
    highest = np.empty(len(logits), np.int64)
    highest_logits(logits.numpy(), highest)
    found: list[int] = highest.tolist()
    return found
