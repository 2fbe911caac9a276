"""Quantising block by block: what is calibrated on what, and that GPTQ is worth it."""

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from groundup.models.llama import Block, Llama, LlamaConfig
from groundup.models.rotary import rotary_table
from groundup.quantization import quantize_model as room
from groundup.quantization.calibration import Calibration, calibrated
from groundup.quantization.finished_blocks import FinishedBlocks, fingerprint
from groundup.quantization.grouped_int4 import GroupedInt4
from groundup.quantization.grouped_int8 import GroupedInt8
from groundup.quantization.int4_grids import symmetric_grid
from groundup.quantization.nf4 import Nf4
from groundup.quantization.quantize_model import Quantization, Quantized, int8_inputs
from groundup.quantization.shared_inputs import linear, move_scale, shared_inputs

SHAPE: dict[str, Any] = {"vocabulary": 50, "dim": 64, "hidden_dim": 96, "layers": 2, "heads": 4,
                         "kv_heads": 4, "head_dim": 16, "context": 64}  # fmt: skip
Recorded = list[tuple[Tensor, Tensor, Quantized]]


def model_of(**traits: Any) -> Llama:
    torch.manual_seed(0)
    model = Llama(LlamaConfig(**SHAPE | traits)).requires_grad_(False).eval()
    for parameter in model.parameters():
        parameter.normal_(std=0.3) if parameter.ndim == 2 else parameter.uniform_(0.5, 2)
    few = torch.randn(50, 9) @ torch.randn(9, 64)  # inputs that depend on each other, as words do
    model.embed_tokens.weight.copy_(few + 0.1 * torch.randn(50, 64))
    return model


def ids_of(rows: int = 8, length: int = 48) -> Tensor:
    return torch.randint(0, 50, (rows, length), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Recorded:
    """Each weight as it was when it was rounded, what its layer read, and what became of it."""
    kept: Recorded = []
    rounded = room.rounded

    def record(weight: Tensor, how: Quantization, calibration: Calibration | None) -> Quantized:
        assert calibration is not None
        kept.append(
            (weight.clone(), calibration.hessian.double(), rounded(weight, how, calibration))
        )
        return kept[-1][2]

    monkeypatch.setattr(room, "rounded", record)
    return kept


def test_gptq_loses_less_than_rounding_in_every_layer(recorded: Recorded) -> None:
    room.quantize_model(model_of(), Quantization("gptq", 32, symmetric_grid), ids_of())
    assert len(recorded) == 14

    def loss(weight: Tensor, hessian: Tensor, got: Tensor) -> float:
        error = (got - weight).double()
        return torch.trace(error @ hessian @ error.T).item()

    for weight, hessian, quantised in recorded:
        plain = GroupedInt4.of(weight, 32, symmetric_grid)
        better = loss(weight, hessian, quantised.dequantize())
        assert better < 0.8 * loss(weight, hessian, plain.dequantize())


def test_a_block_is_calibrated_on_what_the_quantised_ones_before_it_give(
    recorded: Recorded,
) -> None:
    model = model_of()
    room.quantize_model(model, Quantization("gptq", 32), ids_of())
    name = "layers.1.self_attn.q_proj"
    with calibrated([(name, linear(model, name))]) as seen, torch.no_grad():
        for row in ids_of():
            model(row[None])
    _, hessian, _ = recorded[7]
    torch.testing.assert_close(hessian, seen[name].hessian.double(), rtol=1e-4, atol=1e-4)
    before = model_of()
    with calibrated([(name, linear(before, name))]) as seen, torch.no_grad():
        for row in ids_of():
            before(row[None])
    assert not torch.allclose(hessian, seen[name].hessian.double(), rtol=1e-2)


@pytest.mark.parametrize("traits", [{}, {"qkv_bias": True}, {"kv_heads": 2, "qk_norm": True}])
def test_moving_a_scale_changes_nothing(traits: dict[str, Any]) -> None:
    model = model_of(**traits).double()
    block = model.layers[0]
    assert isinstance(block, Block)
    assert isinstance(model.frequencies, Tensor)
    cos, sin = rotary_table(torch.arange(10), model.frequencies)
    x = torch.randn(1, 10, 64, dtype=torch.float64)
    before = block(x, cos, sin, None, 10)
    weights = {name: p.clone() for name, p in block.named_parameters()}
    for shared in shared_inputs(block):
        assert (shared.source is None) == (
            shared.readers[0].endswith("o_proj") and "kv_heads" in traits
        )
        if shared.source is not None:
            columns = linear(block, shared.readers[0]).in_features
            move_scale(block, shared, torch.rand(columns, dtype=torch.float64) + 0.5)
    torch.testing.assert_close(block(x, cos, sin, None, 10), before, rtol=1e-9, atol=1e-9)
    changed = {n for n, p in block.named_parameters() if not torch.equal(p, weights[n])}
    assert {"input_layernorm.weight", "mlp.down_proj.weight", "self_attn.k_proj.weight"} <= changed


@pytest.mark.parametrize("method", ["awq", "smoothquant"])
def test_scales_that_are_moved_make_rounding_cheaper(method: str) -> None:
    """Outputs of the whole model, beside those of plain rounding to the same numbers."""
    ids, plain = ids_of(4), "int4" if method == "awq" else "llm-int8"
    errors = []
    for name in (plain, method):
        model = model_of()
        for layer in model.layers:  # a few columns far larger than the rest, as trained models have
            assert isinstance(layer, Block)
            layer.input_layernorm.weight[::16] *= 30
            layer.post_attention_layernorm.weight[::16] *= 30
        with torch.no_grad():
            exact = model(ids)
        how = Quantization(name, 32 if method == "awq" else None, symmetric_grid)
        weights = room.quantize_model(model, how, ids_of())
        with torch.no_grad():
            if method == "awq":
                got = model(ids)
            else:
                with int8_inputs(model, weights, torch.inf):
                    got = model(ids)
        errors.append((got - exact).square().mean().item())
    assert errors[1] < 0.8 * errors[0]


def test_8_bit_inputs_are_put_back() -> None:
    model, done = model_of(qkv_bias=True), list[int]()
    weights = room.quantize_model(model, Quantization("int8", None), advance=done.append)
    assert done == [1, 2]
    with torch.no_grad():
        before = model(ids_of())
        with int8_inputs(model, weights, torch.inf):
            assert 0 < (model(ids_of()) - before).norm() / before.norm() < 0.1  # with the biases
        assert torch.equal(model(ids_of()), before)
    grouped = room.quantize_model(model, Quantization("int8", 32))
    with pytest.raises(ValueError, match="a scale for each row"), int8_inputs(model, grouped, 6.0):
        pass
    inputs = {m: Quantization(m, None).outlier for m in ("int8", "llm-int8", "smoothquant")}
    assert inputs == {"int8": None, "llm-int8": 6.0, "smoothquant": torch.inf}
    with pytest.raises(ValueError, match="needs windows"):
        room.quantize_model(model, Quantization("awq", 32))


@pytest.mark.parametrize("method", ["gptq", "awq", "smoothquant"])
def test_a_run_that_was_stopped_goes_on_behind_the_blocks_that_it_finished(
    method: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    how, ids = Quantization(method, None if method == "smoothquant" else 32), ids_of(4)
    whole = model_of()
    expected = room.quantize_model(whole, how, ids)

    def stop(done: int) -> None:
        raise KeyboardInterrupt

    key = fingerprint(model_of(), ids, method)
    with pytest.raises(KeyboardInterrupt):
        room.quantize_model(model_of(), how, ids, stop, FinishedBlocks(tmp_path / "kept", key))
    resumed, finished = model_of(), FinishedBlocks(tmp_path / "kept", key)
    assert len(finished) == 1
    blocks = []
    quantize_block = room.quantize_block

    def counted(model: Llama, number: int, *given: Any) -> dict[str, Quantized]:
        blocks.append(number)
        return quantize_block(model, number, *given)

    monkeypatch.setattr(room, "quantize_block", counted)
    got = room.quantize_model(resumed, how, ids, finished=finished)
    assert blocks == [1]
    assert got.keys() == expected.keys()
    for name, weight in expected.items():
        assert type(got[name]) is type(weight)
        assert torch.equal(got[name].dequantize(), weight.dequantize()), name
    for name, parameter in whole.named_parameters():  # norms, which have taken over scales
        assert torch.equal(resumed.get_parameter(name), parameter), name
    (tmp_path / "kept" / "block-0001.safetensors").write_bytes(b"half a fi")
    assert finished.read(1, resumed.layers[1]) is None
    finished.discard()
    assert not list(tmp_path.iterdir())


def test_blocks_of_another_run_are_thrown_away(tmp_path: Path) -> None:
    ids = ids_of(1)
    changed = model_of()
    changed.layers[1].get_parameter("mlp.up_proj.weight")[3, 4] += 1e-3
    keys = {
        fingerprint(model_of(), ids, "gptq"),
        fingerprint(model_of(), ids, "awq"),
        fingerprint(model_of(), ids.flip(1), "gptq"),
        fingerprint(changed, ids, "gptq"),
    }
    assert len(keys) == 4
    block = model_of().layers[0]
    weights = {"mlp.up_proj": GroupedInt8.of(torch.ones(2, 4))}
    for key in sorted(keys):
        finished = FinishedBlocks(tmp_path, key)
        assert len(finished) == 0
        finished.write(0, block, weights)
        assert len(FinishedBlocks(tmp_path, key)) == 1
    with pytest.raises(ValueError, match=r"mlp\.up_proj is in NF4"):
        finished.write(1, block, {"mlp.up_proj": Nf4.of(torch.ones(2, 64))})
