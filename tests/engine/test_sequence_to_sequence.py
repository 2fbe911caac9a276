"""Beam search over encoder-decoders against that of `transformers`."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import MarianConfig, T5Config

from groundup.engine.sequence_to_sequence import generate_target
from groundup.errors import GroundupError
from groundup.models.t5 import T5
from groundup.models.transformer import Transformer
from tests.models.test_encoder_decoders import MARIAN, T5_SMALL, load, save_random

FEW = {"vocab_size": 13, "pad_token_id": 12}
UNTIED = {"num_layers": 3, "feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
CASES = {
    "transformer": MarianConfig(**MARIAN | FEW | {"init_std": 0.5}),
    "t5": T5Config(**T5_SMALL | FEW | UNTIED),
}


@pytest.fixture(scope="module", params=CASES)
def both(request: Any, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Transformer | T5]:
    """Models in doubt."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    theirs = save_random(CASES[request.param], folder)
    with torch.no_grad():
        if request.param == "transformer":
            theirs.model.shared.weight.mul_(0.05)  # so that positions outweigh tokens
            theirs.model.decoder.layers[-1].final_layer_norm.weight.mul_(10)
        else:
            theirs.lm_head.weight.mul_(0.5)
    theirs.save_pretrained(folder)
    return theirs, load(folder)


@pytest.mark.parametrize("length_penalty", [0.0, 0.6, 1.0])
@pytest.mark.parametrize("beams", [1, 4])
def test_texts_and_scores_equal_those_of_transformers(
    both: tuple[Any, Transformer | T5], beams: int, length_penalty: float
) -> None:
    theirs, ours = both
    torch.manual_seed(3)
    lengths = set()
    for eos in (0, 6, 9, 10):  # of which some are likely, and end texts
        ours.config = replace(ours.config, eos_id=eos)
        source = torch.randint(2, 12, (int(torch.randint(1, 20, ())),))
        found = theirs.generate(
            source[None], attention_mask=torch.ones_like(source)[None], num_beams=beams,
            num_return_sequences=beams, max_new_tokens=15, length_penalty=length_penalty,
            eos_token_id=eos, do_sample=False, early_stopping=False, output_scores=True,
            return_dict_in_generate=True,
        )  # fmt: skip
        expected = [until(eos, text[1:].tolist()) for text in found.sequences]
        got = generate_target(
            ours, source.tolist(), beams=beams, max_tokens=15, length_penalty=length_penalty
        )
        assert [list(text.tokens) for text in got] == expected
        lengths |= {len(text) for text in expected}
        if beams > 1:
            scores = torch.tensor([text.score for text in got])
            torch.testing.assert_close(scores, found.sequences_scores, rtol=1e-4, atol=1e-5)
    assert len(lengths) > 1


def until(eos: int, text: list[int]) -> list[int]:
    return text[: text.index(eos) + 1] if eos in text else text


def test_a_wider_beam_finds_no_worse_text(both: tuple[Any, Transformer | T5]) -> None:
    _, ours = both
    source = [5, 9, 3, 7]
    best = [
        generate_target(ours, source, beams=beams, max_tokens=6, length_penalty=0.5)[0].score
        for beams in (1, 4, 60)
    ]
    assert best[0] < best[-1]
    assert best[1] < best[-1] + 1e-5


def test_sources_that_cannot_be_read_are_refused(both: tuple[Any, Transformer | T5]) -> None:
    _, ours = both
    for source in ([], [5] * (ours.config.context + 1)):
        with pytest.raises(GroundupError, match="a source has 1 to"):
            generate_target(ours, source)
    with pytest.raises(ValueError, match="positive"):
        generate_target(ours, [5], beams=0)
