"""The Llama family against `transformers`: tiny random configurations, and the default model."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor
from transformers import (
    AutoModelForCausalLM,
    LlamaConfig,
    MistralConfig,
    MixtralConfig,
    Qwen2Config,
    Qwen3Config,
    SmolLM3Config,
)

from groundup.engine.engine import Engine
from groundup.engine.generate import generate, new_cache
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.fetch import fetch
from groundup.models.gguf import read_gguf
from groundup.models.llama import Llama
from groundup.models.llama import LlamaConfig as OurConfig
from groundup.models.llama_from_gguf import llama_from_gguf
from groundup.models.llama_from_hugging_face import llama_from_hugging_face
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.models.mixture_of_experts import (
    MixtureOfExperts,
    load_balancing_loss,
    recorded_routing,
)
from groundup.tokenizers.from_gguf import tokenizer_from_gguf

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 5,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,  # large, so that a wrong detail shows in the logits
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 10000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 64,
}
CONFIGS = {
    "llama": LlamaConfig(**SMALL),
    "llama, multi-head": LlamaConfig(**SMALL | {"num_key_value_heads": 6}),
    "llama, tied": LlamaConfig(**SMALL, tie_word_embeddings=True),
    "llama, biased, wide heads": LlamaConfig(**SMALL, attention_bias=True, head_dim=16),
    "llama, base 1e5": LlamaConfig(
        **SMALL, rope_parameters={"rope_type": "default", "rope_theta": 1e5}
    ),
    "llama, linear scaling": LlamaConfig(
        **SMALL, rope_parameters={"rope_type": "linear", "rope_theta": 1e4, "factor": 4.0}
    ),
    "llama 3 scaling": LlamaConfig(**SMALL, rope_parameters=LLAMA3),
    "qwen2": Qwen2Config(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=16),
    "smollm3": SmolLM3Config(**SMALL, no_rope_layer_interval=4),
    "mistral": MistralConfig(**SMALL, sliding_window=9),
    "mixtral": MixtralConfig(**SMALL, num_local_experts=5, num_experts_per_tok=2),
}


def save_random(config: Any, folder: Path) -> torch.nn.Module:
    """A model of `transformers` with random weights, biases and norms, saved to the folder."""
    torch.manual_seed(0)
    model: torch.nn.Module = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # they start at ones and zeros, which hides mistakes
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)  # type: ignore[operator]
    return model


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_logits_equal_those_of_transformers(config: Any, tmp_path: Path) -> None:
    theirs = save_random(config, tmp_path)
    ours = llama_from_hugging_face(tmp_path)
    ids = torch.randint(0, 97, (2, 150))
    with torch.no_grad():
        expected = theirs(ids).logits
        got = ours(ids)
    assert expected.abs().max() > 1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-4)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_reading_in_pieces_with_a_cache_changes_nothing(config: Any, tmp_path: Path) -> None:
    save_random(config, tmp_path)
    model = llama_from_hugging_face(tmp_path)
    ids = torch.randint(0, 97, (1, 40))
    with torch.inference_mode():
        whole = model(ids)
        cache = new_cache(model)
        pieces = [model(piece, cache) for piece in ids.split([17, 1, 1, 20, 1], dim=1)]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-4)


@pytest.mark.parametrize("outputs", [1, 3, 12])
def test_the_last_outputs_equal_those_of_all(outputs: int, tmp_path: Path) -> None:
    save_random(CONFIGS["llama, base 1e5"], tmp_path)
    model = llama_from_hugging_face(tmp_path)
    ids = torch.randint(0, 97, (2, 40))
    with torch.inference_mode():
        whole = model.hidden(ids)
        cache = new_cache(model, batch=2)
        model.hidden(ids[:, :28], cache, outputs=outputs)
        continued = model.hidden(ids[:, 28:], cache, outputs=outputs)
    torch.testing.assert_close(continued, whole[:, -outputs:], rtol=0, atol=1e-4)


def test_tied_embeddings_are_one_parameter(tmp_path: Path) -> None:
    save_random(CONFIGS["llama, tied"], tmp_path)
    model = llama_from_hugging_face(tmp_path)
    assert model.lm_head.weight is model.embed_tokens.weight


def test_bfloat16_matrices_cost_less_than_bfloat16_throughout(tmp_path: Path) -> None:
    theirs = save_random(CONFIGS["qwen3"], tmp_path)
    ours = llama_from_hugging_face(tmp_path, torch.bfloat16)
    ids = torch.randint(0, 97, (1, 30))
    with torch.inference_mode():
        exact = theirs(ids).logits
        got = ours(ids)
        throughout = theirs.bfloat16()(ids).logits.float()
    assert got.dtype == torch.float32
    assert 0 < (got - exact).norm() < (throughout - exact).norm()


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_all_gradients_equal_those_of_transformers(config: Any, tmp_path: Path) -> None:
    theirs = save_random(config, tmp_path / "model")
    ours = llama_from_hugging_face(tmp_path / "model").requires_grad_(True)
    ids = torch.randint(0, 97, (2, 30))
    for logits in (theirs(ids).logits, ours(ids)):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    for model in (theirs, ours):  # gradients are compared as they would be stored
        with torch.no_grad():
            for parameter in model.parameters():
                assert parameter.grad is not None
                parameter.copy_(parameter.grad)
    theirs.save_pretrained(tmp_path / "theirs")  # type: ignore[operator]
    llama_to_hugging_face(ours, tmp_path / "ours")
    found = load_file(tmp_path / "ours" / "model.safetensors")
    wanted = load_file(tmp_path / "theirs" / "model.safetensors")
    assert found.keys() == wanted.keys()
    for name, want in wanted.items():
        assert want.abs().max() > 1e-4, name
        torch.testing.assert_close(found[name], want, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_what_we_save_transformers_reads_and_so_do_we(config: Any, tmp_path: Path) -> None:
    save_random(config, tmp_path / "theirs")
    torch.manual_seed(1)
    ours = Llama(llama_from_hugging_face(tmp_path / "theirs").config).eval()
    ours.draw_weights(0.1)
    llama_to_hugging_face(ours, tmp_path / "ours")
    theirs, info = AutoModelForCausalLM.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert type(theirs.config) is type(config)
    assert not any(info.values())
    ids = torch.randint(0, 97, (2, 50))
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(ids).logits, ours(ids), rtol=0, atol=1e-5)
    again = llama_from_hugging_face(tmp_path / "ours")
    assert again.config == ours.config
    for name, weight in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_initial_weights_are_drawn_as_asked() -> None:
    torch.manual_seed(0)
    model = Llama(OurConfig(500, 64, 128, 2, 4, 2, 16, 64, qkv_bias=True, experts=3))
    model.draw_weights(0.05)
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            assert parameter.std().item() == pytest.approx(0.05, rel=0.15), name
        else:
            assert parameter.unique().tolist() == [0.0 if name.endswith("bias") else 1.0], name


@pytest.mark.parametrize(
    "shape", [{"qk_norm": True, "window": 4}, {"qkv_bias": True, "output_bias": True, "experts": 2}]
)
def test_a_shape_that_no_family_has_is_not_saved(shape: dict[str, Any], tmp_path: Path) -> None:
    model = Llama(OurConfig(97, 16, 16, 1, 2, 2, 8, 64, **shape))
    with pytest.raises(GroundupError, match="no family"):
        llama_to_hugging_face(model, tmp_path)


@pytest.mark.parametrize("kind", ["mistral", "mixtral"])
def test_generation_equals_that_of_transformers(kind: str, tmp_path: Path) -> None:
    theirs: Any = save_random(CONFIGS[kind], tmp_path)
    ours = llama_from_hugging_face(tmp_path)
    x = torch.randint(0, 97, (1, 15))
    expected = theirs.generate(
        x, attention_mask=torch.ones_like(x), do_sample=False, max_new_tokens=30,
        eos_token_id=None, pad_token_id=0,
    )[0, 15:].tolist()  # fmt: skip
    assert list(generate(ours, x[0].tolist(), SamplingParams(), max_tokens=30)) == expected
    engine = Engine(ours, positions=256)
    engine.add(0, Request(tuple(x[0].tolist()), max_tokens=30))
    got: list[int] = []
    while engine.busy:
        got += [token.id for _, token in engine.step()]
    assert got == expected
    with pytest.raises(GroundupError, match="int8: not for models with a sliding window"):
        Engine(ours, weight_bits=8)


def test_the_balancing_loss_and_its_gradients_equal_those_of_transformers(tmp_path: Path) -> None:
    theirs: Any = save_random(CONFIGS["mixtral"], tmp_path)
    ours = llama_from_hugging_face(tmp_path).requires_grad_(True)
    ids = torch.randint(0, 97, (2, 30))
    expected = theirs(ids, output_router_logits=True).aux_loss
    with recorded_routing(ours) as routing:
        ours(ids)
    ours(ids)  # is not recorded any more
    assert len(routing) == 5
    got = load_balancing_loss(torch.cat(routing), 2)
    assert got > 2  # which is what it is when all experts are used alike
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=1e-6)
    expected.backward()
    got.backward()
    for own, their in zip(ours.layers, theirs.model.layers, strict=True):
        assert isinstance(own.mlp, MixtureOfExperts)
        assert own.mlp.gate.weight.grad is not None
        assert own.mlp.gate.weight.grad.abs().max() > 1e-4
        torch.testing.assert_close(
            own.mlp.gate.weight.grad, their.mlp.gate.weight.grad, rtol=0, atol=1e-5
        )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "of type 'mamba': expected one of llama"),
        ({"use_sliding_window": True}, "sliding windows"),
        ({"hidden_act": "relu"}, "activation 'relu'"),
        ({"rope_scaling": {"rope_type": "yarn", "factor": 2}, "rope_parameters": None}, "'yarn'"),
        ({"num_hidden_layers": 9}, "not hold a whole model"),
        ({"intermediate_size": 81}, "not hold a whole model"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_random(CONFIGS["llama"], tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(GroundupError, match=message):
        llama_from_hugging_face(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda f: (f / "config.json").unlink(), "no config.json"),
        (lambda f: (f / "config.json").write_text("{"), "not valid JSON"),
        (lambda f: (f / "config.json").write_text('{"model_type": "llama"}'), "lacks the entry"),
        (lambda f: (f / "model.safetensors").unlink(), "lacks the weights model.safetensors"),
        (
            lambda f: (f / "model.safetensors").write_bytes(
                (f / "model.safetensors").read_bytes()[:-100]
            ),
            "truncated or not safetensors",
        ),
    ],
)
def test_a_damaged_folder_is_refused(spoil: Any, message: str, tmp_path: Path) -> None:
    save_random(CONFIGS["llama"], tmp_path)
    spoil(tmp_path)
    with pytest.raises(GroundupError, match=message):
        llama_from_hugging_face(tmp_path)


# The default model, from the same GGUF file.


@pytest.fixture(scope="module")
def path() -> Path:
    return fetch("smollm2-135m-instruct")


@pytest.fixture(scope="module")
def theirs(path: Path) -> torch.nn.Module:
    model: torch.nn.Module = AutoModelForCausalLM.from_pretrained(
        path.parent, gguf_file=path.name, dtype=torch.float32
    ).eval()
    return model


@pytest.fixture(scope="module")
def ours(path: Path) -> Llama:
    return llama_from_gguf(read_gguf(path))


PROMPTS = [
    "What is the capital of France?",
    "Write a haiku about the sea.",
    "def fibonacci(n):",
    "List three uses of a hammer.",
    "Explain photosynthesis to a child.",
    "Translate 'good morning' to Spanish.",
    "What is 17 + 25?",
    "Who wrote Hamlet?",
    "Give me a recipe for pancakes.",
    "Summarise: the cat sat on the mat because it was warm.",
    "What does HTTP 404 mean?",
    "Name the planets of the solar system.",
    "Write a SQL query that counts users by country.",
    "Why is the sky blue?",
    "Finish the sentence: Once upon a time",
    "What is the difference between a list and a tuple in Python?",
    "Ünïcödé: ¿qué es esto? 你好，世界 🌍",
    "Tell me a joke.",
    "How do I boil an egg?",
    "Write a polite e-mail that declines a meeting.",
]


def chat_ids(path: Path) -> list[list[int]]:
    tokenizer = tokenizer_from_gguf(read_gguf(path).metadata)
    return [tokenizer.encode_chat([{"role": "user", "content": text}]) for text in PROMPTS]


def largest_error(a: Tensor, b: Tensor) -> float:
    return float((a.double() - b.double()).abs().max())


def test_weights_equal_those_that_transformers_reads(ours: Llama, theirs: torch.nn.Module) -> None:
    state = ours.state_dict()
    for name, weight in theirs.state_dict().items():
        assert torch.equal(state[name.removeprefix("model.")], weight), name


def test_logits_of_the_real_model_equal_those_of_transformers(
    path: Path, ours: Llama, theirs: torch.nn.Module
) -> None:
    """Within 1e-4, which for this model is as near as float32 comes.

    Its residual stream reaches 24,874, where float32 is spaced by 0.002, and logits reach 38:
    `transformers` itself is 1e-4 from the exact values. Ours must not be farther from them than
    half as far again.
    """
    exact = copy.deepcopy(theirs).double()
    for ids in [*chat_ids(path)[:3], torch.randint(3, 49000, (300,)).tolist()]:
        x = torch.tensor([ids])
        with torch.no_grad():
            expected, truth, got = theirs(x).logits, exact(x).logits, ours(x)
        assert largest_error(got, expected) < 1e-4
        assert largest_error(got, truth) < 1.5 * largest_error(expected, truth)


def test_greedy_text_equals_that_of_transformers(
    path: Path, ours: Llama, theirs: torch.nn.Module
) -> None:
    """64 tokens on each of 20 prompts, which the engine answers together.

    `transformers` reads the prompt and our text in one pass; where its likeliest token after each
    position is the one that we chose, its own greedy text is the same.
    """
    prompts = chat_ids(path)
    engine = Engine(ours, positions=20 * 256)
    for key, prompt in enumerate(prompts):
        engine.add(key, Request(tuple(prompt), max_tokens=64))
    texts: list[list[int]] = [[] for _ in prompts]
    while sum(map(len, texts)) < 20 * 64:
        for key, token in engine.step():
            texts[key].append(token.id)
    for prompt, text in zip(prompts, texts, strict=True):
        with torch.no_grad():
            scores = theirs(torch.tensor([prompt + text[:-1]])).logits
        assert scores[0, len(prompt) - 1 :].argmax(-1).tolist() == text


def test_greedy_text_equals_that_of_their_generate(
    path: Path, ours: Llama, theirs: torch.nn.Module
) -> None:
    run: Any = theirs.generate
    prompt = chat_ids(path)[1]
    x = torch.tensor([prompt])
    expected = run(x, attention_mask=torch.ones_like(x), do_sample=False, max_new_tokens=64,
                   min_new_tokens=64, eos_token_id=None, pad_token_id=0)  # fmt: skip
    got = list(generate(ours, prompt, SamplingParams(), max_tokens=64))
    assert got == expected[0, len(prompt) :].tolist()
