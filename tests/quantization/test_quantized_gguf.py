"""Quantised models as GGUF: read back by the `gguf` package, by `transformers` and by us."""

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from gguf import GGUFReader
from transformers import AutoModelForCausalLM

from groundup.models.gguf import GGMLType, read_gguf
from groundup.models.llama import Llama, LlamaConfig
from groundup.models.llama_from_gguf import llama_from_gguf
from groundup.models.llama_to_gguf import llama_metadata
from groundup.quantization.int4_grids import symmetric_grid
from groundup.quantization.quantize_model import Quantization, quantize_model
from groundup.quantization.to_gguf import quantized_to_gguf

SHAPE: dict[str, Any] = {
    "vocabulary": 96,
    "dim": 64,
    "hidden_dim": 96,
    "layers": 2,
    "heads": 4,
    "kv_heads": 2,
    "head_dim": 16,
    "context": 64,
    "rotary_base": 5000.0,
    "norm_eps": 2.0**-16,  # a float32, as files hold it
}
FORMS = {
    GGMLType.Q8_0: Quantization("int8", 32),
    GGMLType.Q4_0: Quantization("int4", 32, symmetric_grid),
    GGMLType.Q4_1: Quantization("int4", 32),
}


def model_of(seed: int = 0, **traits: Any) -> Llama:
    torch.manual_seed(seed)
    model = Llama(LlamaConfig(**SHAPE | traits)).requires_grad_(False).eval()
    for name, parameter in model.named_parameters():
        parameter.normal_(std=0.3) if parameter.ndim == 2 else parameter.uniform_(0.5, 1.5)
        if name.endswith(".bias"):
            parameter.normal_()
    return model


def ids_of(rows: int = 3) -> torch.Tensor:
    return torch.randint(0, 96, (rows, 20), generator=torch.Generator().manual_seed(1))


def tokenizer() -> dict[str, Any]:
    tokens = [chr(33 + i) for i in range(96)]
    return {
        "tokenizer.ggml.model": "gpt2",
        "tokenizer.ggml.pre": "smollm",
        "tokenizer.ggml.tokens": tokens,
        "tokenizer.ggml.token_type": np.ones(96, np.int32),
        "tokenizer.ggml.merges": [],
    }


@pytest.mark.parametrize("kind", FORMS)
@pytest.mark.parametrize("traits", [{}, {"qkv_bias": True, "tied_embeddings": True}])
def test_what_is_written_is_read(kind: GGMLType, traits: dict[str, Any], tmp_path: Path) -> None:
    """Ours reads the very model that was quantised; the gguf package reads equal numbers."""
    model = model_of(**traits)
    weights = quantize_model(model, FORMS[kind])
    path = tmp_path / "m.gguf"
    source = {"general.file_type": 0, "general.quantization_version": 1}  # of what was quantised
    metadata = llama_metadata(model.config, "m") | tokenizer() | source
    quantized_to_gguf(path, model, weights, metadata)
    file = read_gguf(path)
    of_llama_cpp = gguf.LlamaFileType[f"MOSTLY_{kind.name}"]
    assert file.metadata["general.file_type"] == of_llama_cpp.value
    assert file.metadata["general.quantization_version"] == gguf.GGML_QUANT_VERSION
    again = llama_from_gguf(file)
    assert again.config == model.config
    state = again.state_dict()
    for name, tensor in model.state_dict().items():
        if name.startswith(("embed", "lm_head")):  # in 8 bits, which quantize_model leaves alone
            assert 0 < (state[name] - tensor).abs().max() < 0.02
        else:
            assert torch.equal(state[name], tensor), name
    theirs = {tensor.name: tensor for tensor in GGUFReader(path).tensors}
    assert list(theirs) == list(file.tensors)
    for name, tensor in theirs.items():
        values = gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(-1)
        ours = again.state_dict()
        assert file.tensors[name].type.value == tensor.tensor_type.value
        if name == "blk.1.attn_v.weight":
            assert tensor.tensor_type.name == kind.name
            np.testing.assert_array_equal(
                values, ours["layers.1.self_attn.v_proj.weight"].numpy().reshape(-1)
            )


@pytest.mark.parametrize("kind", FORMS)
def test_transformers_computes_the_same(kind: GGMLType, tmp_path: Path) -> None:
    """Its own reader, its own order of rows."""
    model = model_of(seed=2)
    weights = quantize_model(model, FORMS[kind])
    quantized_to_gguf(
        tmp_path / "m.gguf", model, weights, llama_metadata(model.config, "m") | tokenizer()
    )
    theirs = AutoModelForCausalLM.from_pretrained(
        tmp_path, gguf_file="m.gguf", dtype=torch.float32
    ).eval()
    ours = llama_from_gguf(read_gguf(tmp_path / "m.gguf"))
    with torch.no_grad():
        torch.testing.assert_close(ours(ids_of()), theirs(ids_of()).logits, rtol=1e-4, atol=1e-4)
