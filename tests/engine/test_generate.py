"""Generation with the cache against generation without it."""

import pytest
import torch

from groundup.engine.generate import PREFILL_CHUNK, generate, generate_uncached, new_cache
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_gguf import llama_from_gguf

GREEDY = SamplingParams()
SAMPLED = SamplingParams(
    temperature=1.0, top_k=40, top_p=0.95, min_p=0.01, repetition_penalty=1.1, seed=7
)


@pytest.fixture(scope="module")
def model() -> Llama:
    torch.manual_seed(0)
    config = LlamaConfig(
        vocabulary=211, dim=32, hidden_dim=64, layers=3, heads=4, kv_heads=2, head_dim=8,
        context=PREFILL_CHUNK + 100,
    )  # fmt: skip
    model = Llama(config).requires_grad_(False)
    for weight in model.parameters():
        if weight.ndim == 2:
            weight.mul_(4)  # far from uniform, so that greedy choices are clear
    return model


@pytest.mark.parametrize("params", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
@pytest.mark.parametrize("length", [1, 5, PREFILL_CHUNK - 1, PREFILL_CHUNK, PREFILL_CHUNK + 1])
def test_cached_and_uncached_generation_are_identical(
    model: Llama, params: SamplingParams, length: int
) -> None:
    prompt = torch.randint(0, 211, (length,)).tolist()
    expected = generate_uncached(model, prompt, params, 12)
    assert list(generate(model, prompt, params, max_tokens=12)) == expected
    assert len(set(expected)) > 2


@pytest.mark.parametrize(
    ("params", "dtype"),
    [(GREEDY, torch.float32), (SAMPLED, torch.float32), (GREEDY, torch.bfloat16)],
    ids=["greedy", "sampled", "greedy, bfloat16"],
)
def test_they_are_identical_on_the_real_model(params: SamplingParams, dtype: torch.dtype) -> None:
    model = llama_from_gguf(read_gguf(fetch("smollm2-135m-instruct")), dtype)
    prompt = [1, 4093, 198, 1780, 314, 260, 3575, 282, 4649, 47, 2, 198, 1, 520, 9531, 198]
    expected = generate_uncached(model, prompt, params, 24)
    assert list(generate(model, prompt, params, max_tokens=24)) == expected


def test_a_seed_gives_the_same_tokens_and_another_seed_others(model: Llama) -> None:
    def run(seed: int | None) -> list[int]:
        params = SamplingParams(temperature=1.5, seed=seed)
        return list(generate(model, [3, 1, 4], params, max_tokens=20))

    assert run(1) == run(1)
    assert run(1) != run(2)
    assert run(None) != run(None)


def test_a_stop_id_ends_the_answer_and_is_not_part_of_it(model: Llama) -> None:
    free = list(generate(model, [3, 1, 4], GREEDY, max_tokens=12))
    stop = free[6]
    stopped = list(generate(model, [3, 1, 4], GREEDY, max_tokens=12, stop_ids={stop}))
    assert stopped == free[: free.index(stop)]


def test_generation_ends_where_the_context_does(model: Llama) -> None:
    prompt = [5] * (model.config.context - 3)
    assert len(list(generate(model, prompt, GREEDY))) == 3
    assert len(list(generate(model, prompt, GREEDY, max_tokens=99))) == 3


def test_a_cache_that_holds_the_beginning_of_the_prompt_is_continued(model: Llama) -> None:
    prompt = torch.randint(0, 211, (30,)).tolist()
    expected = list(generate(model, prompt, GREEDY, max_tokens=10))
    cache = new_cache(model)
    list(generate(model, prompt[:20], GREEDY, max_tokens=5, cache=cache))
    cache.truncate(20)
    assert list(generate(model, prompt, GREEDY, max_tokens=10, cache=cache)) == expected


@pytest.mark.parametrize(
    ("prompt", "message"), [([], "empty"), ([1] * (PREFILL_CHUNK + 100), "at most 611")]
)
def test_a_prompt_that_cannot_be_answered_is_refused(
    model: Llama, prompt: list[int], message: str
) -> None:
    with pytest.raises(GroundupError, match=message):
        list(generate(model, prompt, GREEDY))


def test_a_cache_that_holds_the_whole_prompt_is_refused(model: Llama) -> None:
    cache = new_cache(model)
    list(generate(model, [1, 2, 3], GREEDY, max_tokens=1, cache=cache))
    with pytest.raises(ValueError, match="holds 3 tokens of a prompt of 3"):
        list(generate(model, [1, 2, 3], GREEDY, cache=cache))
