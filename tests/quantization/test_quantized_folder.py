"""Quantised models as folders: `transformers` reads them, by `compressed-tensors` and bitsandbytes.

Ours reads them as well, and what those packages write.
"""

from pathlib import Path
from typing import Any

import bitsandbytes
import pytest
import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, CompressedTensorsConfig

from groundup.errors import GroundupError
from groundup.models.from_compressed_tensors import from_compressed_tensors
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_hugging_face import llama_from_hugging_face
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.quantization.int4_grids import symmetric_grid, zero_point_grid
from groundup.quantization.quantize_model import Quantization, quantize_model
from groundup.quantization.to_hugging_face import quantized_to_hugging_face

METHODS = {
    "int8": Quantization("int8", None),
    "int8 in groups": Quantization("int8", 32),
    "llm-int8": Quantization("llm-int8", None),
    "smoothquant": Quantization("smoothquant", None),
    "int4": Quantization("int4", 32, zero_point_grid),
    "int4 symmetric": Quantization("int4", 16, symmetric_grid),
    "nf4": Quantization("nf4"),
    "gptq": Quantization("gptq", 32, zero_point_grid),
    "awq": Quantization("awq", 64, zero_point_grid),
}


def model_of(seed: int = 0, **traits: Any) -> Llama:
    torch.manual_seed(seed)
    shape = {"vocabulary": 96, "dim": 64, "hidden_dim": 192, "layers": 2, "heads": 4, "kv_heads": 2,
             "head_dim": 16, "context": 64}  # fmt: skip
    model = Llama(LlamaConfig(**shape | traits)).requires_grad_(False).eval()
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.normal_(std=0.3)
        else:
            parameter.uniform_(0.5, 1.5)
    for embedding in (model.embed_tokens.weight, model.lm_head.weight):
        embedding.copy_(embedding.bfloat16())  # as they are stored
    return model


def ids_of(rows: int = 3, length: int = 20) -> torch.Tensor:
    return torch.randint(0, 96, (rows, length), generator=torch.Generator().manual_seed(1))


def written(method: str, folder: Path) -> Llama:
    """A model quantised and written to the folder, and read again; equal to the quantised one."""
    model, how = model_of(), METHODS[method]
    weights = quantize_model(model, how, ids_of(4, 32))
    quantized_to_hugging_face(folder, model, weights, how, {})
    again = llama_from_hugging_face(folder)
    expected = model.state_dict()
    for name, tensor in again.state_dict().items():
        rough = 0.0 if name.removesuffix(".weight") in weights else 2**-8  # bfloat16
        torch.testing.assert_close(tensor, expected[name], rtol=rough + 1e-6, atol=1e-6, msg=name)
    return again


@pytest.mark.filterwarnings("ignore:You passed `quantization_config`")
@pytest.mark.parametrize(
    "method", ["int8", "int8 in groups", "smoothquant", "int4", "int4 symmetric", "gptq", "awq"]
)
def test_transformers_reads_integers(method: str, tmp_path: Path) -> None:
    """By `compressed-tensors`. Zero points only where it dequantises: it expects them unpacked."""
    ours, how = written(method, tmp_path), METHODS[method]
    whole = how.grid is zero_point_grid or method == "smoothquant"
    more = {"quantization_config": CompressedTensorsConfig(dequantize=True)} if whole else {}
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32, **more).eval()
    rough = 0.1 if how.grid is zero_point_grid else 1e-4  # of 2.5; their products are float16's
    with torch.no_grad():
        torch.testing.assert_close(ours(ids_of()), theirs(ids_of()).logits, rtol=0, atol=rough)


def test_transformers_computes_smoothquant_with_8_bit_inputs(tmp_path: Path) -> None:
    ours = written("smoothquant", tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    with torch.no_grad():
        whole, got = ours(ids_of()), theirs(ids_of()).logits
    assert 0.005 < (got - whole).std() / whole.std() < 0.1


def test_bitsandbytes_reads_nf4(tmp_path: Path) -> None:
    ours = written("nf4", tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    for name, tensor in ours.state_dict().items():
        if name.endswith("_proj.weight"):
            weight = theirs.get_parameter(f"model.{name}")
            got = bitsandbytes.functional.dequantize_4bit(weight.data, weight.quant_state)
            torch.testing.assert_close(got.float(), tensor, rtol=2**-8, atol=1e-6)
    with torch.no_grad():
        got, expected = theirs(ids_of()).logits.float(), ours(ids_of())
    assert (got - expected).std() < 0.05 * expected.std()  # theirs is bfloat16's arithmetic


def test_bitsandbytes_reads_llm_int8(tmp_path: Path) -> None:
    ours = written("llm-int8", tmp_path)
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    for name, tensor in ours.state_dict().items():
        if name.endswith("_proj.weight"):
            weight = theirs.get_parameter(f"model.{name}")
            got = weight.data.float() * weight.SCB[:, None] / 127
            torch.testing.assert_close(got, tensor, rtol=1e-6, atol=1e-7)
    with torch.no_grad():
        got, expected = theirs(ids_of()).logits.float(), ours(ids_of())
    assert 0.005 < (got - expected).std() / expected.std() < 0.1


@pytest.mark.parametrize("kind", ["nf4", "fp4", "int8"])
def test_ours_reads_what_bitsandbytes_wrote(kind: str, tmp_path: Path) -> None:
    plain = tmp_path / "plain"
    llama_to_hugging_face(model_of().bfloat16(), plain)
    config = (
        BitsAndBytesConfig(load_in_8bit=True)
        if kind == "int8"
        else BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind)
    )
    theirs = AutoModelForCausalLM.from_pretrained(plain, quantization_config=config)
    theirs.save_pretrained(tmp_path / "theirs")
    ours, whole = llama_from_hugging_face(tmp_path / "theirs"), llama_from_hugging_face(plain)
    for name, tensor in ours.state_dict().items():
        off = (tensor - whole.state_dict()[name]).abs().mean() / tensor.abs().mean()
        if name.endswith("_proj.weight"):
            assert 0.001 < off < (0.02 if kind == "int8" else 0.15)
        else:
            assert off == 0


@pytest.mark.parametrize("bits", [4, 8])
@pytest.mark.parametrize("symmetric", [True, False])
def test_ours_reads_what_compressed_tensors_packs(bits: int, symmetric: bool) -> None:
    from compressed_tensors.compressors import PackedQuantizationCompressor
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme

    arguments = {"num_bits": bits, "symmetric": symmetric, "strategy": "group", "group_size": 16}
    scheme = QuantizationScheme(targets=["Linear"], weights=QuantizationArgs(**arguments))
    random = torch.Generator().manual_seed(0)
    half = 2 ** (bits - 1)
    q = torch.randint(-half, half, (24, 48), generator=random, dtype=torch.int8)
    zero = torch.randint(-half, half, (24, 3), generator=random, dtype=torch.int8)
    scale = torch.rand(24, 3, generator=random) + 0.5
    moved = q.view(24, 3, 16) - (0 if symmetric else zero.to(torch.int16)[..., None])
    weight = (moved * scale[..., None]).view(24, 48)
    state = {"weight": weight, "weight_scale": scale}
    packed = PackedQuantizationCompressor.compress(
        state if symmetric else state | {"weight_zero_point": zero}, scheme
    )
    config = {"config_groups": {"g": {"weights": arguments | {"type": "int"}}}}
    found = from_compressed_tensors({f"a.{k}": v for k, v in packed.items()}, config, Path("c"))
    assert list(found) == ["a.weight"]
    torch.testing.assert_close(found["a.weight"], weight, rtol=1e-6, atol=1e-6)


def test_what_is_refused(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="'magic': choose one of int8, llm-int8"):
        Quantization("magic")
    with pytest.raises(GroundupError, match=r"layers\.0\.self_attn\.q_proj.*multiple, got K 64"):
        quantize_model(model_of(), Quantization("int4", 128))
    broken = model_of()
    broken.get_parameter("layers.1.mlp.up_proj.weight")[3, 3] = torch.nan
    with pytest.raises(GroundupError, match=r"layers\.1\.mlp\.up_proj: cannot quantise NaN"):
        quantize_model(broken, Quantization("nf4"))
    with pytest.raises(GroundupError, match="experts"):
        quantize_model(model_of(experts=4), Quantization("nf4"))
    how = Quantization("int4", 32)
    model = model_of()
    with pytest.raises(ValueError, match="not a whole number of its scale"):
        quantized_to_hugging_face(tmp_path, model, quantize_model(model, how), how, {})
    for config, complaint in (
        ({"quant_method": "aqlm"}, "'aqlm': expected compressed-tensors or bitsandbytes"),
        ({"quant_method": "compressed-tensors"}, "lack 'config_groups'"),
    ):
        llama_to_hugging_face(model, tmp_path, entries={"quantization_config": config})
        with pytest.raises(GroundupError, match=complaint):
            llama_from_hugging_face(tmp_path)
