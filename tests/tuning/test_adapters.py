"""Adapters of every method in every family, against `peft` with the same weights."""

import copy
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import torch
from peft import (
    PeftModel,
)
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import (
    AutoModelForCausalLM,
    AutoModelForSeq2SeqLM,
    GPT2Config,
    LlamaConfig,
    T5Config,
)

from groundup.models.gpt2 import GPT2
from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face
from groundup.models.llama import Llama
from groundup.models.llama_from_hugging_face import llama_from_hugging_face
from groundup.models.t5 import T5
from groundup.models.t5_hugging_face import t5_from_hugging_face
from groundup.tuning.adapt import AdaptedModel, adapt
from groundup.tuning.adapter_config import AdapterConfig
from groundup.tuning.adapter_folder import load_adapter, save_adapter

# What `peft` asks of `transformers`, and its advice.
pytestmark = pytest.mark.filterwarnings("ignore")

VOCABULARY = 83
TOKENS = {"vocab_size": VOCABULARY, "bos_token_id": 1, "eos_token_id": 1, "pad_token_id": 0}
BASES: dict[str, Any] = {
    "gpt2": GPT2Config(
        n_positions=48, n_embd=24, n_layer=2, n_head=3, initializer_range=0.3,
        resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, **TOKENS,
    ),
    "llama": LlamaConfig(
        hidden_size=24, intermediate_size=40, num_hidden_layers=2, num_attention_heads=4,
        num_key_value_heads=2, initializer_range=0.3, **TOKENS,
    ),
    "t5": T5Config(
        d_model=24, d_kv=5, d_ff=40, num_layers=2, num_decoder_layers=3, num_heads=3,
        dropout_rate=0.0, decoder_start_token_id=0, initializer_factor=0.6, **TOKENS,
    ),
}  # fmt: skip
LOADERS: dict[str, Callable[[Path], GPT2 | Llama | T5]] = {
    "gpt2": gpt2_from_hugging_face,
    "llama": llama_from_hugging_face,
    "t5": t5_from_hugging_face,
}
TASKS = {"gpt2": "CAUSAL_LM", "llama": "CAUSAL_LM", "t5": "SEQ_2_SEQ_LM"}
TARGETS = {
    "gpt2": r"attn\.c_attn|mlp\.c_proj",
    "llama": r"q_proj|layers\.1\.mlp\.(up|down)_proj",
    "t5": r"cross_attn\.[qk]_proj|wo|encoder\.layers\.0\.mlp\.wi",
}
METHODS = {
    "lora": AdapterConfig("lora", rank=3, alpha=5),
    "lora of some": AdapterConfig("lora", rank=4, alpha=6, rank_stabilized=True, targets="some"),
    "dora": AdapterConfig("dora", rank=3, alpha=4),
    "ia3": AdapterConfig("ia3"),
    "prefix": AdapterConfig("prefix", virtual_tokens=5),
    "prompt": AdapterConfig("prompt", virtual_tokens=4),
}


@dataclass
class Base:
    family: str
    folder: Path
    theirs: nn.Module

    def load(self) -> GPT2 | Llama | T5:
        return LOADERS[self.family](self.folder)

    def config(self, method: str) -> AdapterConfig:
        config = METHODS[method]
        if config.targets is None:
            return config
        return AdapterConfig(**{**vars(config), "targets": TARGETS[self.family]})


@pytest.fixture(scope="module", params=BASES)
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Base:
    torch.manual_seed(0)
    kind = AutoModelForSeq2SeqLM if request.param == "t5" else AutoModelForCausalLM
    theirs = kind.from_config(BASES[request.param]).eval()
    for name, p in theirs.named_parameters():
        if name.endswith("bias"):  # they begin at zero, and would hide what is done to them
            nn.init.normal_(p, std=0.3)
    folder = tmp_path_factory.mktemp(request.param)
    theirs.save_pretrained(folder)
    return Base(request.param, folder, theirs)


def inputs(family: str) -> tuple[Tensor, ...]:
    drawn = torch.Generator().manual_seed(1)
    ids = torch.randint(2, VOCABULARY, (2, 9), generator=drawn)
    if family != "t5":
        return (ids,)
    mask = torch.ones(2, 9, dtype=torch.bool)
    mask[1, 6:] = False
    return ids, torch.randint(2, VOCABULARY, (2, 7), generator=drawn), mask


def logits_of_theirs(model: nn.Module, family: str) -> Tensor:
    """Of `transformers` or `peft`, at the text's own positions."""
    given = inputs(family)
    if family == "t5":
        ids, targets, mask = given
        out: Tensor = model(
            input_ids=ids, attention_mask=mask.float(), decoder_input_ids=targets
        ).logits
        return out
    out = model(input_ids=given[0], attention_mask=torch.ones_like(given[0])).logits
    return out[:, -given[0].shape[1] :]


def randomized(adapted: AdaptedModel) -> AdaptedModel:
    """As if it had been trained: nothing is zero, or one."""
    drawn = torch.Generator().manual_seed(2)
    for parameter in adapted.trained_parameters().values():
        parameter.data += 0.3 * torch.randn(parameter.shape, generator=drawn)
    return adapted


def directions(shape: torch.Size) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(3))


def file_name(name: str) -> str:
    """What `peft` calls one of its parameters in a file."""
    name = name.replace("prompt_encoder.default.embedding.weight", "prompt_embeddings")
    if name.endswith("lora_magnitude_vector.default.weight"):
        return name.removesuffix(".default.weight")
    return name.replace(".default", "")


@pytest.mark.parametrize("method", METHODS)
def test_outputs_and_gradients_equal_those_of_peft(base: Base, method: str, tmp_path: Path) -> None:
    """Ours, saved, is loaded by `peft`: logits and the gradient of each parameter are the same."""
    ours = randomized(adapt(base.load(), base.config(method)))
    save_adapter(tmp_path, ours)
    plain = logits_of_theirs(base.theirs, base.family)
    theirs = PeftModel.from_pretrained(copy.deepcopy(base.theirs), str(tmp_path)).eval()
    for name, parameter in theirs.named_parameters():
        if file_name(name) in load_file(tmp_path / "adapter_model.safetensors"):
            parameter.requires_grad_(True)  # for prompts, `peft` does it only when it makes them
    expected = logits_of_theirs(theirs, base.family)
    got = ours(*inputs(base.family))
    assert (expected - plain).abs().max() > 0.1  # the adapter does something
    torch.testing.assert_close(got, expected, rtol=1e-5, atol=2e-5)

    theirs.save_pretrained(str(tmp_path / "theirs"))
    again = load_adapter(tmp_path / "theirs", base.load())
    torch.testing.assert_close(again(*inputs(base.family)), got, rtol=1e-6, atol=1e-6)

    weights = directions(got.shape)
    (got * weights).sum().backward()
    (expected * weights).sum().backward()
    for parameter in ours.trained_parameters().values():
        assert parameter.grad is not None
        parameter.data = parameter.grad
    save_adapter(tmp_path / "gradients", ours)
    gradients = load_file(tmp_path / "gradients" / "adapter_model.safetensors")
    wanted = {file_name(n): p.grad for n, p in theirs.named_parameters() if p.requires_grad}
    assert wanted.keys() == gradients.keys()
    for name, gradient in wanted.items():
        assert gradient is not None
        scale = float(gradient.abs().max())
        torch.testing.assert_close(gradients[name], gradient, rtol=1e-5, atol=1e-5 * scale)
