"""Pictures of lessons: what they show is what the model computes, by oracles of their own."""

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from groundup.app.picture import TEXT, values_of
from groundup.app.pictures import (
    attention_map,
    cache_growth,
    find_pictures,
    next_token,
    rotary_clocks,
    token_pieces,
)
from groundup.app.reading_order import Failed, Found, PictureOrder
from groundup.app.reading_worker import Reader
from groundup.course.parts.table import PARTS
from groundup.errors import GroundupError
from groundup.models.llama_from_hugging_face import llama_from_hugging_face
from groundup.models.load import LoadedModel, load_model

SENTENCE = "The cat sat on the mat because it was tired."


@pytest.fixture(scope="module")
def tiny(tiny_model: str) -> LoadedModel:
    return load_model(tiny_model, torch.float32)


def test_every_picture_belongs_to_a_part_and_draws_what_it_computes(tiny_model: str) -> None:
    pictures = find_pictures()
    assert set(pictures) <= set(PARTS)
    assert len(pictures) == 5
    reader = Reader()
    for name, picture in pictures.values():
        found = reader.answer(PictureOrder(tiny_model, name, values_of(picture, {})))
        assert isinstance(found, Found)
        html = picture.html(found.values)
        assert "<svg" not in html or 'role="img"' in html or "role='img'" in html
        assert "<script" not in html


def test_the_attention_map_is_that_of_transformers(tiny: LoadedModel, tmp_path: Path) -> None:
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=49152, hidden_size=32, intermediate_size=32, num_hidden_layers=3,
        num_attention_heads=8, num_key_value_heads=4, initializer_range=0.6,
    )  # fmt: skip
    reference = LlamaForCausalLM(config).eval()
    reference.set_attn_implementation("eager")
    reference.save_pretrained(tmp_path)
    model = llama_from_hugging_face(tmp_path, torch.float32)
    loaded = LoadedModel("reference", model, tiny.tokenizer)
    ids = torch.tensor([tiny.tokenizer.encode(SENTENCE)])
    with torch.inference_mode():
        expected = reference(ids, output_attentions=True).attentions
    attend = model.layers[0].self_attn.attend  # type: ignore[union-attr]
    for layer, head in ((1, 1), (2, 8), (3, 5)):
        found = attention_map.compute(loaded, SENTENCE, layer, head)
        weights = np.array(found["weights"])
        np.testing.assert_allclose(weights, expected[layer - 1][0, head - 1], rtol=0, atol=2e-5)
        assert weights.std() > 0.05  # not all alike: heads and layers can be told apart
    assert found["limits"] == {"layer": 3, "head": 8}
    assert attention_map.compute(loaded, SENTENCE, 99, 99)["layer"] == 3
    assert model.layers[2].self_attn.attend is attend  # type: ignore[union-attr]


@pytest.mark.parametrize("text", ["naïve 🙂 2026", "a", "日本語", "  two\n\tthree ", "<|im_end|>"])
def test_pieces_tile_the_text(tiny: LoadedModel, text: str) -> None:
    found = token_pieces.compute(tiny, text)
    content, end = text.encode(), 0
    for piece in found["pieces"]:
        assert piece["start"] == end
        end = piece["end"]
        here = content[piece["start"] : end]
        assert piece["text"] in (here.decode("utf-8", "replace"), here.hex(" "))
    assert end == len(content) == found["bytes"]
    assert "<|" not in token_pieces.html(found)  # it is text, not markup


def test_probabilities_before_and_after_the_sliders(tiny: LoadedModel) -> None:
    found = next_token.compute(tiny, SENTENCE, 4.0, 10, 0.6, 0.0)
    ids = torch.tensor([tiny.tokenizer.encode(SENTENCE)])
    with torch.inference_mode():
        logits = tiny.model(ids)[0, -1].double().numpy()
    before = np.exp(logits - logits.max())
    before /= before.sum()
    order = np.argsort(-logits)
    shown = found["tokens"]
    np.testing.assert_allclose([t["before"] for t in shown], before[order[:14]], rtol=1e-4)
    sharp = np.exp((logits[order[:10]] - logits.max()) / 4)
    sharp /= sharp.sum()
    kept = int((sharp.cumsum() < 0.6).sum()) + 1
    after = np.zeros(14)
    after[:kept] = sharp[:kept] / sharp[:kept].sum()
    np.testing.assert_allclose([t["after"] for t in shown], after, rtol=1e-4)
    assert (found["kept"], found["vocabulary"]) == (kept, len(logits))
    assert 1 < kept < 10


def test_clocks_turn_by_the_papers_angles_and_products_depend_on_distance(
    tiny: LoadedModel,
) -> None:
    found = rotary_clocks.compute(tiny, 12, 4)
    D = tiny.model.config.head_dim
    for clock in found["clocks"]:
        speed = tiny.model.config.rotary_base ** (-2 * clock["pair"] / D)
        assert clock["angles"] == pytest.approx([12 * speed, 4 * speed], rel=1e-5)
    speeds = [tiny.model.config.rotary_base ** (-2 * i / D) for i in range(D // 2)]
    expected = sum(math.cos(8 * speed) for speed in speeds) / (D / 2)
    assert found["product"] == pytest.approx(expected, abs=1e-5)
    assert found["moved"] == pytest.approx(expected, abs=1e-4)
    assert found["product"] != pytest.approx(
        rotary_clocks.compute(tiny, 12, 5)["product"], abs=0.01
    )


def test_the_caches_room_doubles(tiny: LoadedModel) -> None:
    found = cache_growth.compute(tiny, 300)
    expected = [256] * 256 + [512] * 256 + [1024] * 512 + [2048] * (1500 - 1024)
    assert found["capacities"] == expected
    config = tiny.model.config
    assert found["bytes"] == 2 * config.kv_heads * config.head_dim * 4  # one layer, float32
    assert found["held"] == 300


@pytest.mark.parametrize(
    ("picture", "values", "message"),
    [
        ("attention_map", {"text": "", "layer": 1, "head": 1}, "0 tokens: write 1 to 28"),
        ("attention_map", {"text": "a b " * 20, "layer": 1, "head": 1}, "write 1 to 28"),
        ("token_pieces", {"text": ""}, "write something"),
        ("next_token", {"text": "a", "temperature": 1, "k": 0, "p": 1, "floor": 0}, "at least 1"),
        ("rotary_clocks", {"query": math.inf, "key": 0}, "OverflowError"),
        ("no_such_picture", {}, "ModuleNotFoundError"),
    ],
)
def test_what_cannot_be_drawn_says_why(
    tiny_model: str, picture: str, values: dict[str, Any], message: str
) -> None:
    failed = Reader().answer(PictureOrder(tiny_model, picture, values))
    assert isinstance(failed, Failed)
    assert message in failed.reason


def test_values_are_checked_before_they_are_sent() -> None:
    _, picture = find_pictures()["sampling"]
    found = values_of(picture, {"text": "x", "temperature": "0", "k": "many"})
    assert found == {"text": "x", "temperature": 0.05, "k": 200, "p": 1.0, "floor": 0.0}
    with pytest.raises(GroundupError, match="at most 300 characters"):
        values_of(picture, {"text": "x" * (TEXT + 1)})
