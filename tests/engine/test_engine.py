"""The engine against the plain decoding loop, whatever else it does at the same time."""

import random
from typing import Any

import pytest
import torch

from groundup.engine.engine import Engine
from groundup.engine.fused_llama import FusedLlama, WeightBits
from groundup.engine.generate import generate
from groundup.engine.packed_matrix import supports_int8
from groundup.engine.paged_cache import PagedCache
from groundup.engine.plain_llama import PlainLlama
from groundup.engine.request import Constraint, Request
from groundup.engine.sampling_params import SamplingParams
from groundup.engine.scheduler import Chunk
from groundup.engine.sequence import Sequence
from groundup.errors import GroundupError
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.load import LoadedModel, load_model

CONFIGS: dict[str, dict[str, Any]] = {
    "grouped queries": {},
    "bias": {"qkv_bias": True, "output_bias": True},
    "norms of heads": {"qk_norm": True},
    "a layer without rotation": {"layers_without_rotary": frozenset({1})},
}


def model_of(dtype: torch.dtype = torch.float32, *, hidden_dim: int = 48, **options: Any) -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocabulary=97, dim=32, hidden_dim=hidden_dim, layers=3, heads=4, kv_heads=2, head_dim=16,
        context=200, **options,
    )  # fmt: skip
    model = Llama(config).requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.data = 0.3 * torch.randn_like(parameter) + float(parameter.ndim == 1)
        if parameter.ndim > 1:
            parameter.data = parameter.data.to(dtype)
    return model


def alone(model: Llama, request: Request) -> list[int]:
    return list(
        generate(model, request.prompt, request.params, stop_ids=request.stop_ids,
                 max_tokens=request.max_tokens)
    )  # fmt: skip


def answers(engine: Engine) -> dict[int, list[int]]:
    texts: dict[int, list[int]] = {}
    for _ in range(10_000):
        if not engine.busy:
            return texts
        for key, token in engine.step():
            if token.finish_reason != "stop":
                texts.setdefault(key, []).append(token.id)
    raise AssertionError("the engine did not come to an end")


@pytest.mark.parametrize("fused", [True, False])
@pytest.mark.parametrize("options", CONFIGS.values(), ids=CONFIGS)
def test_answers_equal_those_of_the_plain_loop(options: dict[str, Any], fused: bool) -> None:
    """With arrival at any step, shared prefixes, preemption, long chunks, cancellation."""
    model = model_of(torch.float32, **options)
    drawn = random.Random(0)
    preemptions = hits = 0
    for _ in range(4):
        engine = Engine(
            model, fused=fused, positions=176, block_size=8, token_budget=70, max_sequences=6
        )
        start = [drawn.randrange(97) for _ in range(90)]
        requests = {}
        for key in range(14):
            own = tuple(drawn.randrange(97) for _ in range(drawn.randrange(1, 30)))
            prompt = tuple(start[: drawn.choice([0, 8, 21, 90])]) + own
            greedy = key % 3 > 0
            params = SamplingParams() if greedy else SamplingParams(temperature=1.0, seed=key)
            requests[key] = Request(prompt, params, drawn.randrange(1, 40), frozenset({5, 6}))
        texts: dict[int, list[int]] = {}
        waiting = list(requests)
        cancelled = set()
        for _ in range(3000):
            if waiting and drawn.random() < 0.4:
                key = waiting.pop()
                engine.add(key, requests[key])
                if drawn.random() < 0.15:
                    cancelled.add(key)
            for key, token in engine.step():
                if token.finish_reason != "stop":
                    texts.setdefault(key, []).append(token.id)
            for key in list(cancelled):
                if drawn.random() < 0.1:
                    engine.cancel(key)
            if not waiting and not engine.busy:
                break
        assert not engine.busy
        assert engine.scheduler.allocator.free == engine.scheduler.allocator.size
        preemptions += engine.scheduler.preemptions
        hits += engine.cached_tokens
        for key, request in requests.items():
            if request.params.temperature:  # a draw at a border falls with the rounding
                continue
            expected = alone(model, request)
            got = texts.get(key, [])
            assert got == (expected[: len(got)] if key in cancelled else expected), key
    assert preemptions > 0
    assert hits > 0


@pytest.mark.parametrize("reader", [FusedLlama, PlainLlama])
def test_as_many_outputs_as_a_chunk_wants(reader: type[FusedLlama | PlainLlama]) -> None:
    model = model_of()
    drawn = random.Random(0)
    texts = [[drawn.randrange(97) for _ in range(n)] for n in (7, 60, 9)]
    cache = PagedCache(model.config, 20, 8)
    sequences = [Sequence(text, len(text), len(text) + 1) for text in texts]
    for sequence, block in zip(sequences, (0, 2, 10), strict=True):
        sequence.blocks = list(range(block, block + 8))
    chunks = [Chunk(s, len(s.tokens), outputs=n) for s, n in zip(sequences, (3, 1, 9), strict=True)]
    got = reader(model, cache).read(chunks)
    with torch.inference_mode():
        rows = [model(torch.tensor([c.sequence.tokens]))[0, -c.outputs :] for c in chunks]
    torch.testing.assert_close(got, torch.cat(rows), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("bits", "bound"),
    [
        (None, 0.03),
        pytest.param(8, 0.12, marks=pytest.mark.skipif(not supports_int8(), reason="slow here")),
    ],
)
def test_narrow_logits_are_near_those_in_float32(bits: WeightBits | None, bound: float) -> None:
    narrow, wide = model_of(torch.bfloat16), model_of(torch.bfloat16)
    for parameter in wide.parameters():
        parameter.data = parameter.data.float()
    prompt = tuple(range(2, 70))
    with torch.inference_mode():
        expected = wide(torch.tensor([prompt]))[0, -1]
    engine = Engine(narrow, positions=200, weight_bits=bits)
    engine.add(0, Request(prompt, max_tokens=1, logprobs=97))
    [(_, token)] = engine.step()
    got = torch.tensor([p for _, p in sorted(token.top_logprobs)])
    error = (got - torch.log_softmax(expected, 0)).abs().max()
    assert error < bound * expected.abs().max()
    assert error > 0  # narrow it was


@pytest.mark.parametrize(
    ("bits", "bound"),
    [
        (None, 0.03),
        pytest.param(8, 0.12, marks=pytest.mark.skipif(not supports_int8(), reason="slow here")),
        pytest.param(4, 0.06, marks=pytest.mark.skipif(not supports_int8(), reason="slow here")),
    ],
)
def test_a_token_alone_is_read_as_one_of_many(bits: WeightBits | None, bound: float) -> None:
    model = model_of(torch.bfloat16, hidden_dim=96)
    text = list(range(2, 40))
    cache = PagedCache(model.config, 10, 8, torch.bfloat16)
    reader = FusedLlama(model, cache, weight_bits=bits)
    sequence = Sequence(text, len(text), len(text) + 1, blocks=[7, 1, 3, 9, 2])
    expected = reader.read([Chunk(sequence, len(text))])
    sequence.read = len(text) - 1
    got = reader.read([Chunk(sequence, 1)])
    assert (got - expected).abs().max() < bound * expected.abs().max()


def test_a_prompt_asked_twice_is_read_but_for_its_end() -> None:
    engine = Engine(model_of(), positions=160, block_size=8)
    for key in (1, 2):
        engine.add(key, Request(tuple(range(32)), max_tokens=4))
        answers(engine)
    assert engine.cached_tokens == 24  # the last block holds the last token, which is read again


def test_logprobs_are_the_models_own() -> None:
    model = model_of()
    params = SamplingParams(temperature=2.0, seed=3, top_k=2, logit_bias=((7, 50.0),))
    engine = Engine(model)
    engine.add(0, Request((1, 2, 3), params, max_tokens=1, logprobs=3))
    [(_, token)] = engine.step()
    assert token.id == 7
    with torch.inference_mode():
        expected = torch.log_softmax(model(torch.tensor([[1, 2, 3]]))[0, -1], 0)
    assert token.logprob == pytest.approx(float(expected[7]), abs=1e-4)
    ids = [i for i, _ in token.top_logprobs]
    assert ids == expected.topk(3).indices.tolist()
    assert [p for _, p in token.top_logprobs] == pytest.approx(expected[ids].tolist(), abs=1e-4)


def test_what_cannot_be_answered_is_refused() -> None:
    engine = Engine(model_of(), positions=64)
    for request, words in (
        (Request(()), "empty"),
        (Request((1,) * 200), "at most 199"),
        (Request((1,) * 64), "holds 64"),
        (Request((1,), max_tokens=0), "at least 1"),
        (Request((1,), constraint=Constraint("regex", "a")), "no tokenizer"),
    ):
        with pytest.raises(GroundupError, match=words):
            engine.add(0, request)
    assert not engine.busy
    engine.add(0, Request((1,) * 63))  # ends where the cache does
    assert len(answers(engine)[0]) == 1


@pytest.fixture(scope="module")
def loaded() -> LoadedModel:
    return load_model("smollm2-135m-instruct", torch.float32)


def test_the_real_model_writes_in_a_form(loaded: LoadedModel) -> None:
    engine = Engine(loaded.model, loaded.tokenizer, positions=1024)
    prompt = tuple(loaded.tokenizer.encode_chat([{"role": "user", "content": "A date, please."}]))
    form = Constraint("regex", r"\d{4}-\d{2}-\d{2}")
    stop = frozenset(loaded.tokenizer.eos_ids)
    engine.add(1, Request(prompt, stop_ids=stop, max_tokens=40, constraint=form))
    engine.add(2, Request(prompt, stop_ids=stop, max_tokens=12))
    texts = answers(engine)
    date = loaded.tokenizer.decode(texts[1])
    assert [len(n) for n in date.split("-")] == [4, 2, 2], date
    assert texts[2] == alone(loaded.model, Request(prompt, stop_ids=stop, max_tokens=12))
