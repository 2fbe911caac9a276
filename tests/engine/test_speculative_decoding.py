"""The engine with drafts: greedy answers as without, sampled ones by the model's distribution."""

import random
from collections import Counter
from collections.abc import Iterator
from typing import Literal

import pytest
import torch

from groundup.engine.engine import Engine
from groundup.engine.generate import generate
from groundup.engine.request import Constraint, Request, Token
from groundup.engine.sampler import Sampler
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.load import load_model

V = 60


def model_of(seed: int, layers: int = 2, vocabulary: int = V, scale: float = 0.3) -> Llama:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocabulary=vocabulary, dim=16, hidden_dim=24, layers=layers, heads=2, kv_heads=1,
        head_dim=8, context=160,
    )  # fmt: skip
    model = Llama(config).requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.data = scale * torch.randn_like(parameter) + float(parameter.ndim == 1)
    return model


def near(model: Llama) -> Llama:
    """A draft model that is right at times: the model itself, a little disturbed."""
    other = Llama(model.config).requires_grad_(False).eval()
    other.load_state_dict(model.state_dict())
    torch.manual_seed(7)
    for parameter in other.parameters():
        parameter.data += 0.03 * torch.randn_like(parameter)
    return other


def drafter_of(kind: str, model: Llama) -> Llama | Literal["ngram"]:
    return "ngram" if kind == "ngram" else near(model)


def tokens_of(engine: Engine) -> dict[int, list[Token]]:
    answers: dict[int, list[Token]] = {}
    for _ in range(10_000):
        if not engine.busy:
            return answers
        for key, token in engine.step():
            answers.setdefault(key, []).append(token)
    raise AssertionError("the engine did not come to an end")


def alone(model: Llama, request: Request) -> list[int]:
    return list(
        generate(model, request.prompt, request.params, stop_ids=request.stop_ids,
                 max_tokens=request.max_tokens)
    )  # fmt: skip


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("kind", ["ngram", "a model"])
def test_greedy_answers_are_those_of_the_plain_loop(kind: str, fused: bool) -> None:
    """With arrival at any step, shared prefixes, preemption, long chunks, cancellation."""
    model = model_of(0)
    drawn = random.Random(1)
    preemptions = hits = drafted = accepted = 0
    for _ in range(2):
        engine = Engine(
            model, fused=fused, positions=152, block_size=8, token_budget=70, max_sequences=6,
            speculate=drafter_of(kind, model), draft_tokens=5,
        )  # fmt: skip
        assert engine.speculation is not None
        start = [drawn.randrange(V) for _ in range(70)]
        requests = {}
        for key in range(14):
            own = tuple(drawn.randrange(V) for _ in range(drawn.randrange(1, 30)))
            prompt = tuple(start[: drawn.choice([0, 8, 21, 70])]) + own
            params = SamplingParams(temperature=float(key % 4 == 0), seed=key)
            if key % 4 == 1:
                params = SamplingParams(repetition_penalty=1.2, presence_penalty=0.5)
            requests[key] = Request(prompt, params, drawn.randrange(1, 40), frozenset({5, 6}))
        texts: dict[int, list[int]] = {key: [] for key in requests}
        waiting, cancelled = list(requests), set()
        for _ in range(3000):
            if waiting and drawn.random() < 0.4:
                key = waiting.pop()
                engine.add(key, requests[key])
                if drawn.random() < 0.15:
                    cancelled.add(key)
            for key, token in engine.step():
                if token.finish_reason != "stop":
                    texts[key].append(token.id)
            for key in list(cancelled):
                if drawn.random() < 0.1:
                    engine.cancel(key)
            if not waiting and not engine.busy:
                break
        assert not engine.busy
        assert engine.scheduler.allocator.free == engine.scheduler.allocator.size
        preemptions += engine.scheduler.preemptions
        hits += engine.cached_tokens
        drafted += engine.speculation.drafted_tokens
        accepted += engine.speculation.accepted_tokens
        for key, request in requests.items():
            got = texts[key]
            assert len(got) <= (request.max_tokens or 0)
            if request.params.temperature == 0:
                expected = alone(model, request)
                assert got == (expected[: len(got)] if key in cancelled else expected), key
    assert preemptions > 0
    assert hits > 0
    assert 0.1 * drafted < accepted < drafted


def texts_of(
    model: Llama, prompt: tuple[int, ...], params: SamplingParams, stop: int, length: int
) -> Iterator[tuple[tuple[int, ...], float]]:
    """Every answer and its probability, by reading each beginning on its own."""
    shares: dict[tuple[int, ...], float] = {(): 1.0}
    for _ in range(length):
        longer: dict[tuple[int, ...], float] = {}
        for text, share in shares.items():
            if text[-1:] == (stop,):
                longer[text] = share
                continue
            with torch.inference_mode():
                logits = model(torch.tensor([prompt + text]))[0, -1]
            sampler = Sampler(params)
            sampler.scores(logits, torch.tensor(prompt))  # so that it knows what the prompt is
            scores = sampler.scores(logits, torch.tensor(prompt + text))
            for token, p in enumerate(torch.softmax(scores.double(), 0).tolist()):
                longer[(*text, token)] = share * p
        shares = longer
    yield from shares.items()


@pytest.mark.parametrize("kind", ["ngram", "a model", "a model that is wrong"])
def test_sampled_answers_have_the_models_distribution(kind: str) -> None:
    small = 4
    model = model_of(3, vocabulary=small, scale=0.5)
    drafter = drafter_of(kind, model)
    if kind == "a model that is wrong":
        assert isinstance(drafter, Llama)
        drafter.lm_head.weight.data *= -1
    prompt = (1, 2, 3, 0, 1, 2, 3, 0, 1, 2, 3, 0)
    params = SamplingParams(temperature=0.8, top_p=0.97, presence_penalty=0.4)
    length, stop, times = 3, 2, 800
    shares = dict(texts_of(model, prompt, params, stop, length))
    engine = Engine(
        model, fused=False, positions=400, block_size=4, max_sequences=6,
        speculate=drafter, draft_tokens=3,
    )  # fmt: skip
    assert engine.speculation is not None
    for seed in range(times):
        own = SamplingParams(temperature=0.8, top_p=0.97, presence_penalty=0.4, seed=seed)
        engine.add(seed, Request(prompt, own, length, frozenset({stop})))
    counts = Counter(tuple(t.id for t in text) for text in tokens_of(engine).values())
    assert set(counts) <= {text for text, share in shares.items() if share}
    rare = [text for text, share in shares.items() if share * times < 5]
    pairs = [(counts[text], share * times) for text, share in shares.items() if text not in rare]
    pairs.append((sum(counts[text] for text in rare), sum(shares[t] for t in rare) * times))
    chi_squared = sum((count - n) ** 2 / n for count, n in pairs)
    freedom = len(pairs) - 1
    assert freedom > 10
    # Wilson and Hilferty: exceeded once in ten thousand seeds.
    assert chi_squared < freedom * (1 - 2 / (9 * freedom) + 3.72 * (2 / (9 * freedom)) ** 0.5) ** 3
    rate = engine.speculation.accepted_tokens / engine.speculation.drafted_tokens
    assert rate > {"ngram": 0.1, "a model": 0.6}.get(kind, 0.0)
    assert engine.speculation.drafts > 200


def test_a_seed_gives_the_same_answer_with_copied_drafts_as_without() -> None:
    model = model_of(0, scale=0.4)
    drawn = random.Random(2)
    requests = [
        Request(
            tuple([drawn.randrange(9) for _ in range(8)] * 3),
            SamplingParams(temperature=0.3, seed=seed, top_k=9, presence_penalty=-0.5),
            30,
            logprobs=3,
        )
        for seed in range(12)
    ]
    both = []
    for speculate in (None, "ngram"):
        engine = Engine(model, speculate=speculate)
        for key, request in enumerate(requests):
            engine.add(key, request)
        both.append(tokens_of(engine))
    assert engine.speculation is not None
    assert engine.speculation.accepted_tokens > 30
    for key, expected in both[0].items():
        got = both[1][key]
        assert [(t.id, t.finish_reason) for t in got] == [(t.id, t.finish_reason) for t in expected]
        assert [t.logprob for t in got] == pytest.approx([t.logprob for t in expected], abs=1e-4)
        for one, other in zip(got, expected, strict=True):
            assert [i for i, _ in one.top_logprobs] == [i for i, _ in other.top_logprobs]


def test_fewer_steps_where_the_draft_is_right() -> None:
    model = model_of(0)
    steps = {}
    for speculate in (None, model):
        engine = Engine(model, speculate=speculate, draft_tokens=4)
        engine.add(0, Request((1, 2, 3), max_tokens=26))
        steps[speculate] = 0
        while engine.busy:
            engine.step()
            steps[speculate] += 1
    assert steps[None] == 26
    assert steps[model] == 6  # 5 tokens in each, of which 4 were drafted, and a last one


def test_drafts_preempt_nobody_and_take_what_is_left() -> None:
    model = model_of(0)
    counts = []
    for speculate in (None, model):
        engine = Engine(
            model, positions=96, block_size=4, token_budget=40, max_sequences=4,
            speculate=speculate, draft_tokens=8,
        )  # fmt: skip
        for key in range(4):
            engine.add(key, Request((key, 1, 2), max_tokens=20))
        answers = tokens_of(engine)
        assert [len(answers[key]) for key in range(4)] == [20] * 4
        counts.append(engine.scheduler.preemptions)
    assert counts == [0, 0]  # 4 * 23 tokens fit in 24 blocks of 4


def test_a_form_holds_along_the_draft() -> None:
    loaded = load_model("smollm2-135m-instruct")
    prompt = tuple(loaded.tokenizer.encode("12 12 12 12 13 13 13 12 12 12"))
    form = Constraint("regex", r"( 1[23]){12}")
    texts = []
    for speculate in (None, "ngram"):
        engine = Engine(
            model_of(0, vocabulary=loaded.model.config.vocabulary), loaded.tokenizer,
            speculate=speculate,
        )  # fmt: skip
        stop = frozenset(loaded.tokenizer.eos_ids)
        engine.add(0, Request(prompt, stop_ids=stop, max_tokens=60, constraint=form))
        texts.append([token.id for token in tokens_of(engine)[0]])
    assert texts[1] == texts[0]
    assert engine.speculation is not None
    assert engine.speculation.accepted_tokens > 5


def test_a_draft_model_that_does_not_fit_is_refused() -> None:
    model = model_of(0)
    with pytest.raises(GroundupError, match="vocabulary of 61"):
        Engine(model, speculate=model_of(0, vocabulary=61))
    short = Llama(LlamaConfig(
        vocabulary=V, dim=8, hidden_dim=8, layers=1, heads=1, kv_heads=1, head_dim=8, context=80,
    ))  # fmt: skip
    with pytest.raises(GroundupError, match="reads 80 tokens"):
        Engine(model, speculate=short)
    with pytest.raises(ValueError, match="most must be at least 1"):
        Engine(model, speculate="ngram", draft_tokens=0)
