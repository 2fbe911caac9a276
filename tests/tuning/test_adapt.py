"""Putting adapters in and taking them out, where they are refused, and what else serves them."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import pytest
import torch
import torch.nn.functional as F
from tokenizers.decoders import ByteLevel as Decoder
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor

from groundup.cli import main
from groundup.engine.engine import Engine
from groundup.engine.generate import generate, generate_uncached
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.linear import Linear
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_hugging_face import llama_from_hugging_face
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.models.load import load_language_model
from groundup.models.weights_digest import weights_digest
from groundup.quantization.nf4 import Nf4
from groundup.tuning.adapt import AdaptedModel, adapt
from groundup.tuning.adapter_config import AdapterConfig
from groundup.tuning.adapter_folder import load_adapter, save_adapter
from groundup.tuning.chunked_cross_entropy import CHUNK, chunked_cross_entropy_sum
from groundup.tuning.fused_lora import FusedLoraLinear
from groundup.tuning.lora import LoraLinear
from groundup.tuning.nf4_linear import Nf4Linear
from tokenizers import Tokenizer

SHAPE = LlamaConfig(
    vocabulary=71, dim=32, hidden_dim=48, layers=2, heads=4, kv_heads=2, head_dim=8, context=64,
    qkv_bias=True,
)  # fmt: skip
Model = TypeVar("Model", Llama, GPT2)
GREEDY = SamplingParams(temperature=0.0)


def llama(seed: int = 0) -> Llama:
    return drawn(Llama(SHAPE), seed)


def gpt2() -> GPT2:
    return drawn(GPT2(GPT2Config(71, 64, 32, 2, 4)))


def drawn(model: Model, seed: int = 0) -> Model:
    """With weights so large that a small change changes the answer."""
    torch.manual_seed(seed)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval()


def trained(model: Llama | GPT2, method: str, **options: Any) -> AdaptedModel:
    """Adapted, with random numbers in the place of training."""
    adapted = adapt(model, AdapterConfig(method, rank=3, virtual_tokens=5, **options))  # type: ignore[arg-type]
    torch.manual_seed(1)
    for parameter in adapted.trained_parameters().values():
        parameter.data += 0.3 * torch.randn_like(parameter)
    return adapted


def ids() -> Tensor:
    return torch.randint(71, (2, 11), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("method", ["lora", "dora", "qlora", "ia3"])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_merged_is_the_same_and_unmerged_bit_for_bit(
    method: str, make: Callable[[], Llama | GPT2]
) -> None:
    base = make()
    before = {n: p.clone() for n, p in base.named_parameters()}
    adapted = trained(base, method)
    with torch.no_grad():
        expected, plain = adapted(ids()), make()(ids())
        merged = adapted.merge()
        assert not any("base" in name for name, _ in merged.named_modules())
        torch.testing.assert_close(merged(ids()), expected, rtol=1e-4, atol=1e-4)
        assert (expected - plain).abs().max() > 0.1
        adapted.unmerge()
        assert torch.equal(adapted(ids()), expected)
    for name, layer in adapted.layers.items():
        if method != "qlora":
            assert torch.equal(layer.base.weight, before[f"{name}.weight"])


@pytest.mark.parametrize("method", ["lora", "dora", "qlora"])
def test_a_new_adapter_changes_nothing_and_trains_few(method: str) -> None:
    base, plain = llama(), llama()
    adapted = adapt(base, AdapterConfig(method, rank=2))  # type: ignore[arg-type]
    if method == "qlora":
        for layer in plain.modules():
            if isinstance(layer, Linear) and layer is not plain.lm_head:
                layer.weight.data = Nf4.of(layer.weight.data).dequantize()
    torch.testing.assert_close(adapted(ids()), plain(ids()), rtol=1e-5, atol=1e-5)
    names = {name.rpartition(".")[2] for name in adapted.trained_parameters()}
    assert names == ({"a", "b", "magnitude"} if method == "dora" else {"a", "b"})
    assert len(adapted.layers) == 14


def test_qlora_leaves_its_base_and_has_the_gradients_of_lora_over_it() -> None:
    qlora = trained(llama(), "qlora")
    rounded = llama()
    matrices: dict[str, Tensor] = {}
    for name, layer in qlora.layers.items():
        assert isinstance(layer.base, Nf4Linear)
        matrices[name] = layer.base.matrix.packed.clone()
        linear = rounded.get_submodule(name)
        assert isinstance(linear, Linear)
        assert torch.equal(Nf4.of(linear.weight.data).packed, matrices[name])
        linear.weight.data = layer.base.weight
    lora = trained(rounded, "lora")
    for adapted in (qlora, lora):
        F.cross_entropy(adapted(ids()).flatten(0, 1), ids().flatten()).backward()
    for ours, theirs in zip(
        qlora.trained_parameters().values(), lora.trained_parameters().values(), strict=True
    ):
        assert ours.grad is not None
        assert theirs.grad is not None
        assert theirs.grad.abs().max() > 0
        torch.testing.assert_close(ours.grad, theirs.grad, rtol=1e-4, atol=1e-6)
        ours.data -= 0.1 * ours.grad
    for name, layer in qlora.layers.items():
        assert isinstance(layer.base, Nf4Linear)
        assert torch.equal(layer.base.matrix.packed, matrices[name])


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("autocast", [True, False])
def test_the_fused_layer_is_the_plain_one(bias: bool, autocast: bool) -> None:
    torch.manual_seed(0)
    base = Linear(24, 40, bias=bias)
    layers = [kind(base, 4, 0.7) for kind in (FusedLoraLinear, LoraLinear)]
    layers[0].b.data.normal_()
    layers[1].load_state_dict(layers[0].state_dict())
    inputs = torch.randn(3, 7, 24)
    found = []
    for layer in layers:
        x = inputs.clone().requires_grad_()
        with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            y = layer(x)
        (y.float() * torch.arange(40)).sum().backward()
        found.append((y.detach(), x.grad, layer.a.grad, layer.b.grad))
    for ours, expected in zip(*found, strict=True):
        assert ours is not None
        assert expected is not None
        assert ours.dtype == expected.dtype
        bound = float(expected.abs().max()) * (0.02 if autocast else 1e-5)
        torch.testing.assert_close(ours, expected, rtol=0, atol=bound)


def test_cross_entropy_in_chunks() -> None:
    torch.manual_seed(0)
    hidden = torch.randn(CHUNK + 9, 12, requires_grad=True)
    weight, targets = torch.randn(33, 12), torch.randint(33, (CHUNK + 9,))
    (3 * chunked_cross_entropy_sum(hidden, weight, targets)).backward()
    exact = hidden.detach().double().requires_grad_()
    loss = F.cross_entropy(exact @ weight.double().T, targets, reduction="sum")
    (3 * loss).backward()
    assert exact.grad is not None
    torch.testing.assert_close(hidden.grad, exact.grad.float(), rtol=1e-5, atol=1e-5)
    got = chunked_cross_entropy_sum(hidden, weight, targets)
    torch.testing.assert_close(got, loss.float(), rtol=1e-6, atol=0)


@pytest.mark.parametrize("method", ["prefix", "prompt", "lora"])
@pytest.mark.parametrize("make", [llama, gpt2])
def test_generation_with_a_cache(method: str, make: Callable[[], Llama | GPT2]) -> None:
    adapted = trained(make(), method)
    prompt = ids()[0].tolist()
    expected = generate_uncached(adapted, prompt, GREEDY, 8)
    assert list(generate(adapted, prompt, GREEDY, max_tokens=8)) == expected
    assert generate_uncached(make(), prompt, GREEDY, 8) != expected


def test_the_engine_serves_an_adapter_as_the_merged_model_answers(tmp_path: Path) -> None:
    """Two adapters and none in one batch; and each merged model from its folder."""
    prompt = ids()[0].tolist()
    engine = Engine(llama(), positions=512)
    expected: dict[str | None, list[int]] = {None: generate_uncached(llama(), prompt, GREEDY, 6)}
    for name, options in (("a", {}), ("b", {"targets": "q_proj|up_proj", "rank_stabilized": True})):
        adapted = trained(llama(), "lora", **options)
        save_adapter(tmp_path / name, adapted)
        llama_to_hugging_face(llama_of(adapted, merged=True), tmp_path / f"merged {name}")
        model = llama_from_hugging_face(tmp_path / f"merged {name}")
        expected[name] = generate_uncached(model, prompt, GREEDY, 6)
        engine.load_adapter(name, tmp_path / name)
    for key, adapter in enumerate(expected):
        request = Request(tuple(prompt), max_tokens=6, adapter=adapter, params=GREEDY)
        engine.add(key, request)
    got: dict[int, list[int]] = {key: [] for key in range(3)}
    while engine.busy:
        for key, token in engine.step():
            got[key].append(token.id)
    assert list(got.values()) == list(expected.values())
    assert len({tuple(tokens) for tokens in got.values()}) == 3


@pytest.mark.parametrize("method", ["dora", "ia3", "prefix"])
def test_the_engine_refuses_what_is_not_lora(method: str, tmp_path: Path) -> None:
    save_adapter(tmp_path, trained(llama(), method))
    with pytest.raises(GroundupError, match="merged"):
        Engine(llama(), positions=256).load_adapter("a", tmp_path)


def test_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match=r"fit no layer.*layers\.N\.self_attn\.q_proj"):
        adapt(llama(), AdapterConfig(targets="query"))
    with pytest.raises(GroundupError, match="regular expression"):
        adapt(llama(), AdapterConfig(targets="(q_proj"))
    adapted = trained(llama(), "lora")
    with pytest.raises(GroundupError, match="already"):
        adapt(llama_of(adapted), AdapterConfig("prompt"))
    with pytest.raises(GroundupError, match="neither merged"):
        trained(llama(), "prompt").merge()
    save_adapter(tmp_path, adapted)
    other = llama()
    other.get_parameter("layers.1.mlp.up_proj.weight").data[0, 0] += 0.1
    for load in (load_adapter, lambda f, m: Engine(m, positions=256).load_adapter("a", f)):
        with pytest.raises(GroundupError, match="another model"):
            load(tmp_path, other)


def llama_of(adapted: AdaptedModel, *, merged: bool = False) -> Llama:
    model = adapted.merge() if merged else adapted.model
    assert isinstance(model, Llama)
    return model


@pytest.mark.parametrize("method", ["dora", "qlora"])
def test_the_command_merges_into_a_model_that_stands_by_itself(
    method: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    llama_to_hugging_face(llama(), tmp_path / "base")
    write_tokenizer(tmp_path / "base")
    base, _ = load_language_model(str(tmp_path / "base"))
    adapted = trained(base, method)
    save_adapter(tmp_path / "adapter", adapted, base=str(tmp_path / "base"))
    main_of = ["merge", str(tmp_path / "adapter"), "--out", str(tmp_path / "merged")]
    with pytest.raises(SystemExit) as done:
        main(main_of)
    assert done.value.code == 0
    assert "groundup chat --model" in capsys.readouterr().out
    merged, _ = load_language_model(str(tmp_path / "merged"))
    adapted.merge()
    with torch.no_grad():
        assert torch.equal(merged(ids()), base(ids()))
    with pytest.raises(SystemExit):
        main(main_of)
    assert "there already" in capsys.readouterr().err


def write_tokenizer(folder: Path) -> None:
    """Of bytes."""
    alphabet = {byte: i for i, byte in enumerate(sorted(ByteLevel.alphabet()))}
    words = Tokenizer(BPE(alphabet, []))
    words.pre_tokenizer = ByteLevel(add_prefix_space=False)
    words.decoder = Decoder()
    words.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(
    "options",
    [{"method": "adalora"}, {"rank": 0}, {"alpha": 0}, {"dropout": 1}, {"virtual_tokens": 0}],
)
def test_a_configuration_is_checked(options: dict[str, Any]) -> None:
    with pytest.raises(GroundupError, match=next(iter(options))):
        AdapterConfig(**options)


def test_a_digest_is_of_the_weights_and_not_of_their_dtype() -> None:
    narrow = llama().to(torch.bfloat16)
    assert weights_digest(narrow) == weights_digest(llama()) != weights_digest(llama(1))
