"""LoRA adapters in mixed batches, against `peft` and against models that they are merged into."""

import copy
import json
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import pytest
import torch
from peft import LoraConfig, PeftModel, get_peft_model
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config, Qwen3Config

from groundup.engine.engine import Engine
from groundup.engine.fused_llama import FusedLlama
from groundup.engine.generate import generate
from groundup.engine.lora_adapter import load_lora_adapter
from groundup.engine.packed_matrix import Rows
from groundup.engine.request import Request
from groundup.engine.sampling_params import SamplingParams
from groundup.engine.segmented_lora import PRODUCTS, SegmentedLora
from groundup.errors import GroundupError
from groundup.models.llama import Llama
from groundup.models.llama_from_hugging_face import llama_from_hugging_face

# What `peft` asks of `transformers`.
pytestmark = pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "hidden_size": 48,
    "intermediate_size": 80,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "max_position_embeddings": 200,
    "initializer_range": 0.2,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
BASES = {
    "llama": LlamaConfig(**SMALL),
    "qwen2": Qwen2Config(**SMALL),
    "qwen3": Qwen3Config(**SMALL, head_dim=16),
}
ADAPTERS: dict[str, dict[str, Any]] = {
    "two layers": {"r": 4, "lora_alpha": 8, "target_modules": ["q_proj", "v_proj"]},
    "everywhere": {
        "r": 5,
        "lora_alpha": 3,
        "use_rslora": True,
        "target_modules": "all-linear",
        "rank_pattern": {"k_proj": 2, "layers.1.mlp.down_proj": 11, r"layers\.[02]\..*up_proj": 1},
        "alpha_pattern": {"o_proj": 7, "model.layers.0.self_attn.k_proj": 1},
    },
    "a pattern": {"r": 16, "target_modules": r".*layers\.[02]\.(mlp\.gate|self_attn\.(k|o))_proj"},
    "one block": {
        "r": 3,
        "target_modules": ["down_proj", "gate_proj", "k_proj", "v_proj"],
        "layers_to_transform": [1],
    },
}


@dataclass
class Family:
    """A base model and its adapters: in folders, ours, and the oracles."""

    folder: Path
    model: Llama
    adapted: dict[str | None, nn.Module]  # of `peft`
    merged: dict[str | None, Llama]

    def folder_of(self, name: str) -> Path:
        return self.folder / "adapters" / name

    def engine(self, *, fused: bool, **options: Any) -> Engine:
        engine = Engine(self.model, fused=fused, **options)
        for name in ADAPTERS:
            engine.load_adapter(name, self.folder_of(name))
        return engine


@pytest.fixture(scope="module", params=BASES)
def family(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Family:
    folder = tmp_path_factory.mktemp(request.param)
    torch.manual_seed(0)
    base = AutoModelForCausalLM.from_config(BASES[request.param]).eval()
    base.save_pretrained(folder)
    model = llama_from_hugging_face(folder)
    family = Family(folder, model, {None: base}, {None: model})
    for name, options in ADAPTERS.items():
        adapted = get_peft_model(
            copy.deepcopy(base), LoraConfig(task_type="CAUSAL_LM", **options)
        ).eval()
        for parameter_name, parameter in adapted.named_parameters():
            if "lora_" in parameter_name:
                parameter.data = 0.3 * torch.randn_like(parameter)
        adapted.save_pretrained(family.folder_of(name))
        # What the folder says, not what the model in memory is, is the oracle.
        adapted = PeftModel.from_pretrained(copy.deepcopy(base), family.folder_of(name)).eval()
        family.adapted[name] = adapted
        merged = copy.deepcopy(adapted).merge_and_unload()
        merged.save_pretrained(folder / "merged" / name)
        family.merged[name] = llama_from_hugging_face(folder / "merged" / name)
    return family


@pytest.mark.parametrize("fused", [True, False])
def test_logits_of_a_mixed_batch_equal_those_of_peft(family: Family, fused: bool) -> None:
    """Prompts of all lengths, some attended to as matrices, each adapter twice, and none."""
    engine = family.engine(fused=fused, token_budget=1000)
    drawn = random.Random(1)
    prompts: dict[int, tuple[int, ...]] = {}
    names: dict[int, str | None] = {}
    for key, length in enumerate((1, 70, 3, 12, 9, 60, 2, 33, 5, 8)):
        names[key] = [None, *ADAPTERS][key % 5]
        prompts[key] = tuple(drawn.randrange(97) for _ in range(length))
        engine.add(key, Request(prompts[key], max_tokens=1, logprobs=97, adapter=names[key]))
    tokens = dict(engine.step())
    assert len(tokens) == 10
    unadapted = 0.0
    for key, token in tokens.items():
        got = torch.tensor([value for _, value in sorted(token.top_logprobs)])

        def logprobs(of: nn.Module, key: int = key) -> Tensor:
            with torch.no_grad():
                return torch.log_softmax(of(torch.tensor([prompts[key]])).logits[0, -1], 0)

        torch.testing.assert_close(got, logprobs(family.adapted[names[key]]), rtol=1e-5, atol=1e-4)
        if names[key] is not None:
            unadapted = max(unadapted, float((got - logprobs(family.adapted[None])).abs().max()))
    assert unadapted > 1  # what the adapters add is no small thing


@pytest.mark.parametrize("fused", [True, False])
def test_answers_equal_those_of_merged_models(family: Family, fused: bool) -> None:
    """Token for token, with arrival at any step, common beginnings, preemption, cancellation."""
    drawn = random.Random(2)
    engine = family.engine(
        fused=fused, positions=176, block_size=8, token_budget=70, max_sequences=6
    )
    start = tuple(drawn.randrange(97) for _ in range(60))
    requests = {}
    for key in range(20):
        own = tuple(drawn.randrange(97) for _ in range(drawn.randrange(1, 20)))
        prompt = start[: drawn.choice([8, 21, 60])] + own
        name = [None, *ADAPTERS][key % 5]
        requests[key] = Request(prompt, max_tokens=drawn.randrange(2, 20), adapter=name)
    texts: dict[int, list[int]] = {key: [] for key in requests}
    waiting = list(requests)
    while waiting or engine.busy:
        if waiting and drawn.random() < 0.4:
            key = waiting.pop()
            engine.add(key, requests[key])
        for key, token in engine.step():
            texts[key].append(token.id)
        if len(texts[7]) == 1:
            engine.cancel(7)
    assert engine.scheduler.preemptions > 0
    assert engine.cached_tokens > 0
    for key, request in requests.items():
        model = family.merged[request.adapter]
        expected = list(
            generate(model, request.prompt, SamplingParams(), max_tokens=request.max_tokens)
        )
        assert texts[key] == (expected[:1] if key == 7 else expected), key
    assert engine.scheduler.allocator.free == engine.scheduler.allocator.size


def answer(engine: Engine, request: Request) -> list[int]:
    engine.add(0, request)
    ids = []
    while engine.busy:
        ids += [token.id for _, token in engine.step()]
    return ids


@pytest.mark.parametrize("fused", [True, False])
def test_adapters_share_no_prefix(family: Family, fused: bool) -> None:
    prompt = tuple(range(3, 60))
    engine = family.engine(fused=fused, block_size=8)
    for hits in (0, 1, 2):
        for name in (None, *ADAPTERS):
            before = engine.cached_tokens
            got = answer(engine, Request(prompt, max_tokens=6, adapter=name))
            assert engine.cached_tokens - before == (56 if hits else 0), name
            model = family.merged[name]
            assert got == list(generate(model, prompt, SamplingParams(), max_tokens=6)), name


def test_equal_adapters_share_their_prefix_and_unequal_ones_have_other_digests(
    family: Family, tmp_path: Path
) -> None:
    folder = family.folder_of("two layers")
    digests = {load_lora_adapter(family.folder_of(name), family.model).digest for name in ADAPTERS}
    assert len(digests) == len(ADAPTERS)
    copied = shutil.copytree(folder, tmp_path / "copy")
    own = load_lora_adapter(folder, family.model).digest
    assert load_lora_adapter(copied, family.model).digest == own
    edit_config(copied, lora_alpha=9)
    assert load_lora_adapter(copied, family.model).digest not in digests


def test_equal_adapters_of_two_names_are_held_once(family: Family) -> None:
    engine = family.engine(fused=True)
    terms = cast(FusedLlama, engine._reader)._adapters._terms
    ranks = {place: len(each.columns) for place, each in terms.items()}
    engine.load_adapter("again", family.folder_of("one block"))
    assert {place: len(each.columns) for place, each in terms.items()} == ranks
    request = Request((4, 5, 6), max_tokens=5, adapter="again")
    expected = list(generate(family.merged["one block"], (4, 5, 6), SamplingParams(), max_tokens=5))
    assert answer(engine, request) == expected
    with pytest.raises(GroundupError, match="'again' already"):
        engine.load_adapter("again", family.folder_of("everywhere"))


@pytest.mark.parametrize("form", ["float32", "bfloat16", "int8"])
def test_each_row_gets_what_its_adapter_adds(family: Family, form: str) -> None:
    """Rounded once; rows without an adapter are not touched."""
    dtype = torch.float32 if form == "float32" else torch.bfloat16
    model = copy.deepcopy(family.model)
    for parameter in model.parameters():
        parameter.data = parameter.data.to(dtype)
    lora = SegmentedLora(model)
    adapters = {name: load_lora_adapter(family.folder_of(name), model) for name in ADAPTERS}
    for adapter in adapters.values():
        lora.place(adapter)
    torch.manual_seed(3)
    names = [None, *ADAPTERS, "everywhere", None]
    sequence_of = torch.randint(0, len(names), (90,)).numpy()
    segments = lora.segments([adapters[n].digest if n else b"" for n in names], sequence_of)
    for layer in range(3):
        for product, parts in PRODUCTS.items():
            layers: list[Any] = [model.get_submodule(f"layers.{layer}.{part}") for part in parts]
            width = sum(each.out_features for each in layers)
            if form == "int8":  # about 128, and a product without the rows' scales
                x = torch.randint(1, 256, (90, layers[0].in_features)).to(torch.uint8)
                y, exact = 1e3 * torch.randn(90, width), x.double() - 128
            else:
                x = torch.randn(90, layers[0].in_features).to(dtype)
                y, exact = torch.randn(90, width).to(dtype), x.double()
            expected = y.double()
            for i, sequence in enumerate(sequence_of):
                start = 0
                for part, each in zip(parts, layers, strict=True):
                    stop = start + each.out_features
                    name = names[sequence]
                    if name and (pair := adapters[name].weights.get(f"layers.{layer}.{part}")):
                        a, b = (matrix.double() for matrix in pair)
                        expected[i, start:stop] += b @ (a @ exact[i])
                    start = stop
            before = y.clone()
            segments.add(layer, product, Rows(x), Rows(y))
            tolerance = {"float32": (1e-5, 1e-5), "bfloat16": (2**-8, 1e-5), "int8": (1e-5, 1e-2)}
            rtol, atol = tolerance[form]
            torch.testing.assert_close(y.double(), expected, rtol=rtol, atol=atol)
            untouched = torch.tensor([names[s] is None for s in sequence_of])
            assert torch.equal(y[untouched], before[untouched])
            assert not torch.equal(y, before)


# ---- what is refused


def edit_config(folder: Path, **entries: Any) -> None:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | entries))


def edit_weights(folder: Path, change: Callable[[dict[str, Tensor]], object]) -> None:
    path = folder / "adapter_model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path)


def pickled(folder: Path) -> None:
    (folder / "adapter_model.safetensors").unlink()
    torch.save({}, folder / "adapter_model.bin")


def truncated(folder: Path) -> None:
    path = folder / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-7])


Q = "base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight"
BAD: dict[str, tuple[Callable[[Path], object], str]] = {
    "no folder": (shutil.rmtree, "not an adapter's folder"),
    "no configuration": (lambda f: (f / "adapter_config.json").unlink(), "not an adapter's folder"),
    "not JSON": (lambda f: (f / "adapter_config.json").write_text("{"), "not valid JSON"),
    "not text": (lambda f: (f / "adapter_config.json").write_bytes(b"\xff"), "not valid JSON"),
    "a list": (lambda f: (f / "adapter_config.json").write_text("[]"), "expected an object"),
    "another method": (lambda f: edit_config(f, peft_type="IA3"), "peft_type 'IA3'"),
    "another task": (lambda f: edit_config(f, task_type="SEQ_CLS"), "task_type 'SEQ_CLS'"),
    "DoRA": (lambda f: edit_config(f, use_dora=True), "use_dora True"),
    "biases": (lambda f: edit_config(f, bias="lora_only"), "bias 'lora_only'"),
    "biases of B": (lambda f: edit_config(f, lora_bias=True), "lora_bias"),
    "whole modules": (lambda f: edit_config(f, modules_to_save=["lm_head"]), "modules_to_save"),
    "tokens": (lambda f: edit_config(f, trainable_token_indices=[1]), "trainable_token_indices"),
    "what is yet to be invented": (lambda f: edit_config(f, use_qora=1), "use_qora 1"),
    "a changed base": (lambda f: edit_config(f, init_lora_weights="pissa_niter_4"), "base"),
    "an unknown target": (
        lambda f: edit_config(f, target_modules=["q_proj", "v_proj", "c_attn"]),
        "targets 'c_attn'",
    ),
    "a target too few": (lambda f: edit_config(f, target_modules=["q_proj"]), "does not name"),
    "another pattern": (lambda f: edit_config(f, target_modules=".*q_proj"), "does not name"),
    "a broken pattern": (lambda f: edit_config(f, target_modules="(q"), "pattern"),
    "a slow pattern": (
        lambda f: edit_config(f, target_modules=r"(\w|\w\w|\w\w\w|\.|\.\w)+(?<=\d)"),
        "timed out",
    ),
    "no targets": (lambda f: edit_config(f, target_modules=None), "target_modules None"),
    "another rank": (lambda f: edit_config(f, r=5), "expected .*5"),
    "a rank that is none": (lambda f: edit_config(f, r="4"), "rank '4'"),
    "an alpha that is none": (lambda f: edit_config(f, lora_alpha=float("nan")), "lora_alpha nan"),
    "patterns that are none": (lambda f: edit_config(f, rank_pattern=[4]), "expected an object"),
    "pickled weights": (pickled, "adapter_model.bin, whose pickled weights are never loaded"),
    "no weights": (lambda f: (f / "adapter_model.safetensors").unlink(), "lacks the weights"),
    "truncated weights": (truncated, "truncated or not safetensors"),
    "an empty file": (lambda f: (f / "adapter_model.safetensors").write_bytes(b""), "truncated"),
    "one half": (lambda f: edit_weights(f, lambda w: w.pop(Q)), "q_proj with matrices of shapes"),
    "no layers": (lambda f: edit_weights(f, dict.clear), "holds no weights"),
    "not numbers": (lambda f: edit_weights(f, lambda w: w[Q].fill_(torch.nan)), "not finite"),
    "embeddings": (
        lambda f: edit_weights(
            f,
            lambda w: w.update({"base_model.model.model.embed_tokens.lora_embedding_A": w[Q] + 1}),
        ),
        "embed_tokens.lora_embedding_A, to which nothing",
    ),
    "a layer too many": (
        lambda f: edit_weights(f, lambda w: w.update({Q.replace(".0.", ".3."): w.pop(Q)})),
        "layers 0 to 2 alone",
    ),
}


@pytest.fixture(scope="module")
def one_adapter(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Llama]:
    folder = tmp_path_factory.mktemp("bad")
    base = AutoModelForCausalLM.from_config(BASES["llama"])
    base.save_pretrained(folder)
    model = llama_from_hugging_face(folder)
    adapted = get_peft_model(base, LoraConfig(task_type="CAUSAL_LM", **ADAPTERS["two layers"]))
    adapted.save_pretrained(folder / "adapter")
    return folder / "adapter", model


@pytest.mark.parametrize("case", BAD)
def test_a_bad_adapter_is_refused(
    case: str, one_adapter: tuple[Path, Llama], tmp_path: Path
) -> None:
    damage, words = BAD[case]
    good, model = one_adapter
    folder = shutil.copytree(good, tmp_path / "adapter")
    load_lora_adapter(folder, model)
    damage(folder)
    with pytest.raises(GroundupError, match=words) as caught:
        load_lora_adapter(folder, model)
    assert str(folder) in str(caught.value)


def test_an_adapter_of_another_model_is_refused(one_adapter: tuple[Path, Llama]) -> None:
    folder, model = one_adapter
    for other, words in (
        ({"dim": 64}, r"q_proj with .*\(4, 48\).*expected .*\(4, 64\).*another model"),
        ({"layers": 2}, r"layers\.2.*layers 0 to 1 alone"),
    ):
        config = copy.copy(model.config)
        for entry, value in other.items():
            object.__setattr__(config, entry, value)
        with pytest.raises(GroundupError, match=words):
            load_lora_adapter(folder, Llama(config))


def test_a_part_that_does_not_call_its_layers_is_found_when_an_adapter_is_loaded(
    family: Family,
) -> None:
    model = copy.deepcopy(family.model)
    mlp: Any = model.get_submodule("layers.0.mlp")

    def forward(x: Tensor) -> Tensor:
        gate = x @ mlp.gate_proj.weight.T
        down: Tensor = mlp.down_proj(gate * torch.sigmoid(gate) * mlp.up_proj(x))
        return down

    mlp.forward = forward
    engine = Engine(model, fused=False)
    engine.load_adapter("two layers", family.folder_of("two layers"))
    with pytest.raises(GroundupError, match=r"layers\.0\.mlp\.gate_proj, which the model has not"):
        engine.load_adapter("everywhere", family.folder_of("everywhere"))
    request = Request((1, 2, 3), max_tokens=3, adapter="everywhere")
    with pytest.raises(GroundupError, match="no adapter"):
        engine.add(0, request)
    assert answer(engine, Request((1, 2, 3), max_tokens=3)) == answer(
        Engine(family.model), Request((1, 2, 3), max_tokens=3)
    )
