"""BERT against `transformers`: tiny random configurations."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load_file, save_file
from transformers import BertConfig as TheirConfig
from transformers import BertForMaskedLM, BertForSequenceClassification, BertModel

from groundup.errors import GroundupError
from groundup.models.bert import Bert, BertClassifier, BertConfig, BertMaskedLM
from groundup.models.bert_hugging_face import (
    bert_classifier_from_hugging_face,
    bert_from_hugging_face,
    bert_masked_lm_from_hugging_face,
    bert_to_hugging_face,
)

SMALL: dict[str, Any] = {
    "vocab_size": 61,
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 40,
    "type_vocab_size": 2,
    "initializer_range": 0.2,  # large, so that a wrong detail shows in the logits
    "hidden_dropout_prob": 0.0,
    "num_labels": 5,
    "pad_token_id": 60,
}
SHAPE = BertConfig(61, 32, 48, 2, 4, 40)


def save_random(kind: Any, folder: Path) -> Any:
    """A model of `transformers` with random weights, biases and norms, saved to the folder."""
    torch.manual_seed(0)
    model = kind(TheirConfig(**SMALL)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim == 1:  # they start at ones and zeros, which hides mistakes
                parameter.add_(0.3 * torch.randn_like(parameter))
    model.save_pretrained(folder)
    return model


def texts() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Pairs of texts with padding, their mask and their types."""
    torch.manual_seed(1)
    ids = torch.randint(2, 60, (3, 19))
    mask = torch.ones(3, 19, dtype=torch.bool)
    mask[1, 12:], mask[2, 2:6] = False, False
    types = (torch.arange(19) > 9).long().expand(3, -1)
    return ids.where(mask, 60), mask, types


def gradients(model: Bert | BertMaskedLM | BertClassifier, folder: Path) -> dict[str, Any]:
    """The gradients, under their names and as they would be stored; zeros where there is none."""
    with torch.no_grad():
        for parameter in model.parameters():
            grad = parameter.grad
            parameter.copy_(torch.zeros_like(parameter) if grad is None else grad)
    bert_to_hugging_face(model, folder)
    return load_file(folder / "model.safetensors")


def compare(found: dict[str, Any], theirs: Any) -> None:
    wanted = dict(theirs.named_parameters())
    assert wanted.keys() == found.keys()
    for name, parameter in wanted.items():
        # A key's bias moves all scores of a query alike, which softmax does not see.
        assert parameter.grad.abs().max() > 1e-4 or name.endswith("key.bias"), name
        torch.testing.assert_close(found[name], parameter.grad, rtol=0, atol=1e-5, msg=name)


def test_masked_lm_equals_that_of_transformers(tmp_path: Path) -> None:
    theirs = save_random(BertForMaskedLM, tmp_path / "model")
    ours = bert_masked_lm_from_hugging_face(tmp_path / "model")
    assert ours.decoder.weight is ours.bert.embed_tokens.weight
    ids, mask, types = texts()
    expected = theirs(ids, attention_mask=mask.long(), token_type_ids=types).logits
    got = ours(ids, mask, types)
    assert expected.abs().max() > 1
    torch.testing.assert_close(got[mask], expected[mask], rtol=0, atol=1e-5)
    for logits in (expected, got):
        F.cross_entropy(logits[mask], ids[mask].flip(0)).backward()
    compare(gradients(ours, tmp_path / "gradients"), theirs)


def test_classification_equals_that_of_transformers(tmp_path: Path) -> None:
    theirs = save_random(BertForSequenceClassification, tmp_path / "model")
    ours = bert_classifier_from_hugging_face(tmp_path / "model")
    ids, mask, types = texts()
    expected = theirs(ids, attention_mask=mask.long(), token_type_ids=types).logits
    got = ours(ids, mask, types)
    assert got.shape == (3, 5)
    assert expected.abs().max() > 0.5
    torch.testing.assert_close(got, expected, rtol=0, atol=1e-5)
    for logits in (expected, got):
        F.cross_entropy(logits, torch.tensor([4, 0, 2])).backward()
    compare(gradients(ours, tmp_path / "gradients"), theirs)


def test_output_and_pooling_equal_those_of_transformers(tmp_path: Path) -> None:
    theirs = save_random(BertModel, tmp_path)
    ours = bert_from_hugging_face(tmp_path)
    ids, mask, _ = texts()
    with torch.no_grad():
        expected = theirs(ids, attention_mask=mask.long())
        hidden = ours(ids, mask)
        pooled = ours.pool(hidden)
    torch.testing.assert_close(hidden[mask], expected.last_hidden_state[mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(pooled, expected.pooler_output, rtol=0, atol=1e-5)
    assert pooled.std() > 0.1


def test_padding_changes_no_text() -> None:
    torch.manual_seed(0)
    model = Bert(SHAPE).eval()
    ids, mask, types = texts()
    with torch.inference_mode():
        batched = model(ids, mask, types)
        other = model(ids.where(mask, 7), mask, types)
        alone = model(ids[1:2, :12], types=types[1:2, :12])
    torch.testing.assert_close(other[mask], batched[mask], rtol=0, atol=1e-5)
    torch.testing.assert_close(batched[1:2, :12], alone, rtol=0, atol=1e-5)


@pytest.mark.parametrize(
    ("ours", "kind", "load"),
    [
        (Bert, BertModel, bert_from_hugging_face),
        (BertMaskedLM, BertForMaskedLM, bert_masked_lm_from_hugging_face),
        (
            lambda shape: BertClassifier(shape, 3),
            BertForSequenceClassification,
            bert_classifier_from_hugging_face,
        ),
    ],
    ids=["encoder", "masked", "classifier"],
)
def test_what_we_save_transformers_reads_and_so_do_we(
    ours: Any, kind: Any, load: Any, tmp_path: Path
) -> None:
    torch.manual_seed(2)
    model = ours(SHAPE).eval()
    bert_to_hugging_face(model, tmp_path)
    theirs, info = kind.from_pretrained(tmp_path, output_loading_info=True)
    assert not any(info.values())
    ids, mask, types = texts()
    with torch.no_grad():
        answer = theirs(ids, attention_mask=mask.long(), token_type_ids=types)
        expected, got = answer[0], model(ids, mask, types)
    where = mask if expected.ndim == 3 else slice(None)
    torch.testing.assert_close(got[where], expected[where], rtol=0, atol=1e-5)
    with torch.no_grad():
        again = load(tmp_path)(ids, mask, types)
    assert torch.equal(again, got)


def test_old_files_name_the_norms_otherwise(tmp_path: Path) -> None:
    save_random(BertForMaskedLM, tmp_path)
    new = bert_masked_lm_from_hugging_face(tmp_path).state_dict()
    weights = load_file(tmp_path / "model.safetensors")
    old = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace(
            "LayerNorm.bias", "LayerNorm.beta"
        ): weight
        for name, weight in weights.items()
    }
    old["bert.embeddings.position_ids"] = torch.arange(40)[None]
    old["cls.predictions.decoder.weight"] = weights[
        "bert.embeddings.word_embeddings.weight"
    ].clone()
    save_file(old, tmp_path / "model.safetensors")
    for name, weight in bert_masked_lm_from_hugging_face(tmp_path).state_dict().items():
        assert torch.equal(weight, new[name]), name


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model_type": "roberta"}, "of type 'roberta': expected one of bert"),
        ({"position_embedding_type": "relative_key"}, "asks for 'relative_key' positions"),
        ({"hidden_act": "tanh"}, "no activation 'tanh'"),
        ({"num_attention_heads": 5}, "dim 32 is not a multiple of heads 5"),
        ({"num_hidden_layers": 4}, "not hold a whole model"),
        ({"hidden_size": None}, "lacks the entry 'hidden_size'"),
    ],
)
def test_a_configuration_that_does_not_fit_is_refused(
    change: dict[str, Any], message: str, tmp_path: Path
) -> None:
    save_random(BertForMaskedLM, tmp_path)
    path = tmp_path / "config.json"
    entries = json.loads(path.read_text()) | change
    path.write_text(json.dumps({k: v for k, v in entries.items() if v is not None}))
    with pytest.raises(GroundupError, match=message):
        bert_masked_lm_from_hugging_face(tmp_path)


def test_a_folder_without_a_classifier_is_refused(tmp_path: Path) -> None:
    save_random(BertForMaskedLM, tmp_path)
    with pytest.raises(GroundupError, match="has no classifier"):
        bert_classifier_from_hugging_face(tmp_path)


def test_a_text_longer_than_the_context_is_refused() -> None:
    with pytest.raises(ValueError, match="41 positions: the model has 40"):
        Bert(SHAPE)(torch.zeros(1, 41, dtype=torch.long))
