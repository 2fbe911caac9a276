"""The original transformer and T5 against `transformers`: tiny random configurations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from transformers import (
    MarianConfig,
    MarianMTModel,
    PreTrainedModel,
    T5ForConditionalGeneration,
)
from transformers import T5Config as TheirT5Config

from groundup.engine.kv_cache import KVCache
from groundup.engine.sequence_to_sequence import generate_target
from groundup.errors import GroundupError
from groundup.models.t5 import T5, T5Config
from groundup.models.t5_hugging_face import t5_from_hugging_face, t5_to_hugging_face
from groundup.models.transformer import Transformer, TransformerConfig
from groundup.models.transformer_hugging_face import (
    transformer_from_hugging_face,
    transformer_to_hugging_face,
)

MARIAN: dict[str, Any] = {
    "vocab_size": 61,
    "d_model": 32,
    "encoder_layers": 2,
    "decoder_layers": 3,
    "encoder_attention_heads": 4,
    "decoder_attention_heads": 4,
    "encoder_ffn_dim": 48,
    "decoder_ffn_dim": 48,
    "max_position_embeddings": 40,
    "pad_token_id": 60,
    "decoder_start_token_id": 0,
    "eos_token_id": 1,
    "forced_eos_token_id": None,
    "scale_embedding": True,
    "activation_function": "relu",
    "init_std": 0.2,  # large, so that a wrong detail shows in the logits
}
T5_SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "d_model": 32,
    "d_kv": 6,  # heads need not fill the width
    "d_ff": 48,
    "num_layers": 2,
    "num_decoder_layers": 3,
    "num_heads": 4,
    "relative_attention_num_buckets": 8,
    "relative_attention_max_distance": 12,
    "decoder_start_token_id": 0,
    "pad_token_id": 60,
    "eos_token_id": 1,
    "dropout_rate": 0.0,
}
CASES: dict[str, Any] = {
    "transformer": MarianConfig(**MARIAN),
    "transformer, swish": MarianConfig(**MARIAN | {"activation_function": "swish"}),
    "t5": TheirT5Config(**T5_SMALL),
    "t5 1.1": TheirT5Config(**T5_SMALL, feed_forward_proj="gated-gelu", tie_word_embeddings=False),
}


def load(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer | T5:
    kind = json.loads((folder / "config.json").read_text())["model_type"]
    family = t5_from_hugging_face if kind == "t5" else transformer_from_hugging_face
    return family(folder, dtype)


def save(model: Transformer | T5, folder: Path) -> None:
    if isinstance(model, T5):
        t5_to_hugging_face(model, folder)
    else:
        transformer_to_hugging_face(model, folder)


def save_random(config: Any, folder: Path) -> Any:
    """A model of `transformers` with random weights, biases and norms, saved to the folder."""
    torch.manual_seed(0)
    kind = T5ForConditionalGeneration if config.model_type == "t5" else MarianMTModel
    model = kind(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # they start at ones and zeros, which hides mistakes
                parameter.add_(0.3 * torch.randn_like(parameter))
        if config.model_type == "marian":
            model.final_logits_bias.normal_()
        elif not config.scale_decoder_outputs:
            model.lm_head.weight = torch.nn.Parameter(0.2 * torch.randn_like(model.lm_head.weight))
            model.config.tie_word_embeddings = False
    model.save_pretrained(folder)
    return model


def texts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Sources with padding at both ends, their mask, and targets."""
    torch.manual_seed(1)
    ids, targets = torch.randint(2, 60, (3, 19)), torch.randint(2, 60, (3, 17))
    mask = torch.ones(3, 19, dtype=torch.bool)
    mask[1, 12:], mask[2, :4] = False, False
    targets[:, 0] = 0
    return ids.where(mask, 60), mask, targets


def theirs_names(ours: Transformer | T5, folder: Path) -> dict[str, torch.Tensor]:
    """The gradients of our model, under their names and as they would be stored."""
    grads = T5(ours.config) if isinstance(ours, T5) else Transformer(ours.config)
    with torch.no_grad():
        for (name, parameter), own in zip(grads.named_parameters(), ours.parameters(), strict=True):
            assert own.grad is not None, name
            parameter.copy_(own.grad)
    save(grads, folder)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_logits_and_all_gradients_equal_those_of_transformers(config: Any, tmp_path: Path) -> None:
    theirs = save_random(config, tmp_path / "model")
    ours = load(tmp_path / "model")
    ids, mask, targets = texts()
    expected = theirs(input_ids=ids, attention_mask=mask.long(), decoder_input_ids=targets).logits
    got = ours(ids, targets, mask)
    assert expected.abs().max() > 1
    assert (expected - theirs(input_ids=ids, decoder_input_ids=targets).logits).abs().max() > 0.01
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)

    for logits in (expected, got):
        F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten()).backward()
    found = theirs_names(ours, tmp_path / "gradients")
    wanted = {n: p.grad for n, p in theirs.named_parameters() if p.requires_grad}
    assert wanted.keys() == {name for name in found if name != "final_logits_bias"}
    for name, want in wanted.items():
        # A key's bias moves all scores of a query alike, which softmax does not see.
        assert want.abs().max() > 1e-4 or name.endswith("k_proj.bias"), name
        torch.testing.assert_close(found[name], want, rtol=0, atol=1e-5, msg=name)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_what_we_save_transformers_reads_and_so_do_we(config: Any, tmp_path: Path) -> None:
    save_random(config, tmp_path / "theirs")
    torch.manual_seed(2)
    shape = load(tmp_path / "theirs").config
    ours: Transformer | T5 = T5(shape) if isinstance(shape, T5Config) else Transformer(shape)
    ours.eval()
    save(ours, tmp_path / "ours")
    kind: type[PreTrainedModel] = (
        T5ForConditionalGeneration if config.model_type == "t5" else MarianMTModel
    )
    theirs, info = kind.from_pretrained(tmp_path / "ours", output_loading_info=True)
    assert not info["missing_keys"] - {"model.encoder.embed_positions.weight",
                                       "model.decoder.embed_positions.weight"}  # fmt: skip
    assert not info["unexpected_keys"]
    ids, mask, targets = texts()
    with torch.no_grad():
        expected = theirs.eval()(
            input_ids=ids, attention_mask=mask.long(), decoder_input_ids=targets
        ).logits
        torch.testing.assert_close(ours(ids, targets, mask), expected, rtol=1e-5, atol=1e-5)
    again = load(tmp_path / "ours")
    assert again.config == ours.config
    for name, weight in ours.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_writing_in_pieces_with_caches_changes_nothing(config: Any, tmp_path: Path) -> None:
    save_random(config, tmp_path)
    model = load(tmp_path)
    shape = model.config
    ids, mask, targets = texts()
    with torch.inference_mode():
        whole = model(ids, targets, mask)
        memory = model.remember(model.encode(ids, mask))
        cache = KVCache(shape.layers, shape.kv_heads, shape.head_dim, limit=17, batch=3)
        pieces = [
            model.logits(model.decode(piece, memory, mask, cache))
            for piece in targets.split([9, 1, 1, 5, 1], dim=1)
        ]
    torch.testing.assert_close(torch.cat(pieces, dim=1), whole, rtol=0, atol=1e-5)


@pytest.mark.parametrize("config", CASES.values(), ids=CASES)
def test_padding_changes_no_text(config: Any, tmp_path: Path) -> None:
    """What stands at padding, and how much of it there is, is not seen."""
    save_random(config, tmp_path)
    model = load(tmp_path)
    ids, mask, targets = texts()
    with torch.inference_mode():
        batched = model(ids, targets, mask)
        other = model(ids.where(mask, 7), targets, mask)
        alone = model(ids[1:2, :12], targets[1:2])
        nothing = model(ids[:1], targets[:1], torch.zeros(1, 19, dtype=torch.bool))
    torch.testing.assert_close(other, batched, rtol=0, atol=1e-5)
    torch.testing.assert_close(batched[1:2], alone, rtol=0, atol=1e-5)
    assert nothing.isfinite().all()


def test_the_target_is_not_seen_before_it_is_written() -> None:
    torch.manual_seed(0)
    ids, mask, targets = texts()
    changed = targets.clone()
    changed[:, 9] = 5
    for model in (
        Transformer(TransformerConfig(61, 32, 48, 2, 2, 4, 40)).eval(),
        T5(T5Config(61, 32, 48, 8, 4, 2, 2)).eval(),
    ):
        with torch.inference_mode():
            before, after = model(ids, targets, mask), model(ids, changed, mask)
        torch.testing.assert_close(after[:, :9], before[:, :9], rtol=0, atol=1e-6)
        assert not torch.allclose(after[:, 9], before[:, 9])


def test_dropout_works_in_training_alone() -> None:
    torch.manual_seed(0)
    ids, mask, targets = texts()
    for model in (
        Transformer(TransformerConfig(61, 32, 48, 1, 1, 4, 40)),
        T5(T5Config(61, 32, 48, 8, 4, 1, 1)),
    ):
        assert not torch.equal(model(ids, targets, mask), model(ids, targets, mask))
        model.eval()
        assert torch.equal(model(ids, targets, mask), model(ids, targets, mask))


def test_a_small_transformer_learns_to_reverse() -> None:
    torch.manual_seed(0)
    model = Transformer(TransformerConfig(12, 32, 64, 1, 1, 4, 16, dropout=0.0))
    optimizer = torch.optim.Adam(model.parameters(), lr=3e-3)
    start, end = torch.zeros(64, 1, dtype=torch.long), torch.ones(64, 1, dtype=torch.long)
    for _ in range(250):
        ids = torch.randint(2, 12, (64, 5))
        target = torch.cat((start, ids.flip(1), end), dim=1)
        loss = F.cross_entropy(model(ids, target[:, :-1]).flatten(0, 1), target[:, 1:].flatten())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    for source in torch.randint(2, 12, (20, 5)).tolist():
        best = generate_target(model, source, beams=2)[0]
        assert list(best.tokens) == [*source[::-1], 1]


def test_initial_losses_are_those_of_a_guess() -> None:
    torch.manual_seed(0)
    ids, mask, targets = texts()
    for model in (
        Transformer(TransformerConfig(61, 64, 96, 2, 2, 4, 40)),
        T5(T5Config(61, 64, 96, 16, 4, 2, 2)),
    ):
        logits = model.eval()(ids, targets, mask)
        loss = F.cross_entropy(logits[:, :-1].flatten(0, 1), targets[:, 1:].flatten())
        assert abs(loss.item() - torch.tensor(61.0).log().item()) < 1.5


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("transformer", {"model_type": "bart"}, "of type 'bart': expected one of marian"),
        ("transformer", {"scale_embedding": False}, "scale_embedding is False"),
        ("transformer", {"decoder_ffn_dim": 9}, "decoder_ffn_dim is 9"),
        ("transformer", {"activation_function": "tanh"}, "no activation 'tanh'"),
        ("transformer", {"encoder_layers": 3}, "not hold a whole model"),
        ("transformer", {"d_model": None}, "lacks the entry 'd_model'"),
        ("t5", {"feed_forward_proj": "gated-silu"}, "feed_forward_proj is 'gated-silu'"),
        ("t5", {"num_layers": 3}, "not hold a whole model"),
        ("t5", {"relative_attention_max_distance": 1}, "max_distance must be more than"),
        ("t5", {"d_kv": None}, "lacks the entry 'd_kv'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    name: str, change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_random(CASES[name], tmp_path)
    path = tmp_path / "config.json"
    entries = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
    family = t5_from_hugging_face if name == "t5" else transformer_from_hugging_face
    with pytest.raises(GroundupError, match=message):
        family(tmp_path)


def test_a_source_longer_than_the_context_is_refused() -> None:
    model = Transformer(TransformerConfig(61, 32, 48, 1, 1, 4, 8))
    with pytest.raises(ValueError, match="9 positions: the model has 8"):
        model.encode(torch.zeros(1, 9, dtype=torch.long))
