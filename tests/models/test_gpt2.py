"""GPT-2 against `transformers`: tiny random configurations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from transformers import GPT2Config as TheirConfig
from transformers import GPT2LMHeadModel

from groundup.engine.generate import generate, generate_uncached, new_cache
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.attention import attention
from groundup.models.fused_attention import fused_attention
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face, gpt2_to_hugging_face
from groundup.models.language_model import Attend

SMALL: dict[str, Any] = {
    "vocab_size": 97,
    "n_positions": 64,
    "n_embd": 48,
    "n_layer": 3,
    "n_head": 6,
    "initializer_range": 0.15,  # large, so that a wrong detail shows in the logits
    "bos_token_id": None,
    "eos_token_id": None,
}


def save_random(folder: Path, **changes: Any) -> Any:
    """A model of `transformers` with random weights, biases and norms, saved to the folder."""
    torch.manual_seed(0)
    model = GPT2LMHeadModel(TheirConfig(**SMALL | changes)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # they start at ones and zeros, which hides mistakes
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


@pytest.mark.parametrize("attend", [attention, fused_attention])
@pytest.mark.parametrize("changes", [{}, {"n_head": 1, "layer_norm_epsilon": 0.1}])
def test_logits_and_all_gradients_equal_those_of_transformers(
    attend: Attend, changes: dict[str, Any], tmp_path: Path
) -> None:
    theirs = save_random(tmp_path, **changes)
    ours = gpt2_from_hugging_face(tmp_path, attend=attend)
    ids = torch.randint(0, 97, (2, 40))
    expected, got = theirs(ids).logits, ours(ids)
    assert expected.abs().max() > 1
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)

    for logits in (expected, got):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).backward()
    wanted = {n.removeprefix("transformer."): p.grad for n, p in theirs.named_parameters()}
    found = {name: p.grad for name, p in ours.named_parameters()}
    assert found.keys() == wanted.keys()
    for name, gradient in found.items():
        want = wanted[name]
        assert gradient is not None
        if name.endswith(("c_attn.weight", "c_proj.weight", "c_fc.weight")):
            want = want.T
        assert want.abs().max() > 1e-3
        torch.testing.assert_close(gradient, want, rtol=0, atol=1e-5, msg=name)


def test_what_we_save_transformers_reads_and_so_do_we(tmp_path: Path) -> None:
    torch.manual_seed(0)
    ours = GPT2(GPT2Config(97, 64, 48, 3, 6, dropout=0.1)).eval()
    gpt2_to_hugging_face(ours, tmp_path / "model")
    theirs, info = GPT2LMHeadModel.from_pretrained(tmp_path / "model", output_loading_info=True)
    assert not any(info.values())
    assert theirs.config.resid_pdrop == 0.1
    ids = torch.randint(0, 97, (2, 40))
    with torch.no_grad():
        torch.testing.assert_close(theirs.eval()(ids).logits, ours(ids), rtol=0, atol=1e-5)
    again = gpt2_from_hugging_face(tmp_path / "model")
    assert again.config == ours.config
    for name, weight in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_initial_weights_have_the_deviations_of_the_paper() -> None:
    torch.manual_seed(0)
    model = GPT2(GPT2Config(1000, 200, 128, 8, 4))
    assert model.lm_head.weight is model.wte.weight
    for name, parameter in model.named_parameters():
        if parameter.ndim == 2:
            expected = 0.02 / 4 if name.endswith("c_proj.weight") else 0.02
            assert parameter.std().item() == pytest.approx(expected, rel=0.05), name
            assert abs(parameter.mean().item()) < 0.001, name
        else:
            start = 1.0 if ".ln" in f".{name}" and name.endswith("weight") else 0.0
            assert parameter.unique().tolist() == [start], name
    theirs = GPT2LMHeadModel(
        TheirConfig(vocab_size=1000, n_positions=200, n_embd=128, n_layer=8, n_head=4)
    )
    ids = torch.randint(0, 1000, (4, 100))
    for logits in (model(ids), theirs(ids).logits):
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), ids[:, 1:].flatten()).item()
        assert loss == pytest.approx(torch.tensor(1000.0).log().item(), abs=0.1)


def test_dropout_works_in_training_alone() -> None:
    torch.manual_seed(0)
    model = GPT2(GPT2Config(97, 64, 48, 2, 6, dropout=0.5))
    ids = torch.randint(0, 97, (1, 8))
    assert not torch.equal(model(ids), model(ids))
    model.eval()
    assert torch.equal(model(ids), model(ids))


def test_reading_in_pieces_with_a_cache_changes_nothing(tmp_path: Path) -> None:
    save_random(tmp_path)
    model = gpt2_from_hugging_face(tmp_path)
    ids = torch.randint(0, 97, (2, 40))
    with torch.inference_mode():
        whole = model(ids)
        cache = new_cache(model, batch=2)
        pieces = [model(piece, cache) for piece in ids.split([17, 1, 1, 20, 1], dim=1)]
        last = model.logits(model.hidden(ids, outputs=3))
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-5)
    torch.testing.assert_close(last, whole[:, -3:], rtol=0, atol=1e-5)


def test_greedy_text_equals_that_of_their_generate(tmp_path: Path) -> None:
    theirs = save_random(tmp_path)
    model = gpt2_from_hugging_face(tmp_path)
    prompt = [3, 1, 4, 1, 5]
    x = torch.tensor([prompt])
    expected = theirs.generate(
        x, attention_mask=torch.ones_like(x), do_sample=False, max_new_tokens=30, pad_token_id=0
    )[0, 5:].tolist()
    params = SamplingParams()
    assert list(generate(model, prompt, params, max_tokens=30)) == expected
    assert generate_uncached(model, prompt, params, 30) == expected
    assert len(set(expected)) > 2
    # It ends with the context, of which 5 positions are the prompt's.
    assert len(list(generate(model, prompt, params))) == 64 - 5


def test_bfloat16_matrices_leave_the_stream_wide(tmp_path: Path) -> None:
    theirs = save_random(tmp_path)
    ours = gpt2_from_hugging_face(tmp_path, torch.bfloat16)
    assert ours.wte.weight.dtype == torch.bfloat16
    assert ours.dtype == torch.float32
    ids = torch.randint(0, 97, (1, 30))
    with torch.inference_mode():
        exact, got = theirs(ids).logits, ours(ids)
        throughout = theirs.bfloat16()(ids).logits.float()
    assert got.dtype == torch.float32
    assert 0 < (got - exact).norm() < (throughout - exact).norm()


def test_autocast_multiplies_in_bfloat16(tmp_path: Path) -> None:
    save_random(tmp_path)
    model = gpt2_from_hugging_face(tmp_path, attend=fused_attention)
    ids = torch.randint(0, 97, (2, 30))
    exact = model(ids)
    with torch.autocast("cpu", torch.bfloat16):
        narrow = model(ids)
    assert narrow.dtype == torch.bfloat16
    assert 0 < (narrow.float() - exact).norm() < 0.05 * exact.norm()
    narrow.float().logsumexp(-1).mean().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in model.parameters())


def test_more_positions_than_the_context_are_refused(tmp_path: Path) -> None:
    model = GPT2(GPT2Config(97, 8, 48, 1, 6))
    with pytest.raises(ValueError, match="9 positions: the model has 8"):
        model(torch.zeros(1, 9, dtype=torch.long))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dim": 47}, "dim 47 is not a multiple of heads 6"),
        ({"layers": 0}, "layers must be positive, got 0"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, got 1.0"),
    ],
)
def test_a_shape_that_cannot_be_is_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        GPT2Config(**{"vocabulary": 97, "context": 8, "dim": 48, "layers": 1, "heads": 6} | change)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "mamba"}, "of type 'mamba': expected one of gpt2"),
        ({"activation_function": "relu"}, "activation_function 'relu'"),
        ({"n_inner": 100}, "n_inner is 100: expected 192"),
        ({"n_head": 5}, "dim 48 is not a multiple of heads 5"),
        ({"n_layer": 4}, "not hold a whole model.*h.3.ln_1.weight"),
        ({"vocab_size": None}, "lacks the entry 'vocab_size'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_random(tmp_path)
    entries = json.loads((tmp_path / "config.json").read_text()) | change
    path = tmp_path / "config.json"
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
    with pytest.raises(GroundupError, match=message):
        gpt2_from_hugging_face(tmp_path)
