"""The model that benchmarks serve: what is written is what was made."""

from pathlib import Path

import torch

import tokenizers
from benchmarks.load import Requests, single_words
from benchmarks.small_model import small_model, write_small_model
from groundup.models.load import load_model


def test_the_written_model_is_the_made_one_and_its_prompts_have_16_tokens(tmp_path: Path) -> None:
    write_small_model(tmp_path)
    loaded = load_model(str(tmp_path), torch.bfloat16)
    ids = torch.arange(17, 49)[None]
    with torch.inference_mode():
        torch.testing.assert_close(loaded.model(ids), small_model()(ids), rtol=0, atol=0)
    oracle = tokenizers.Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    words = single_words(loaded.tokenizer)
    assert len(words) > 4000
    requests = Requests(words, "x", "m", length=16, new=16, distinct=0, stream=False)
    for request, _ in zip(requests, range(50), strict=False):
        prompt = request.split(b'"prompt": "')[1].removesuffix(b'"}').decode()
        assert len(oracle.encode(prompt).ids) == 16
        assert loaded.tokenizer.encode(prompt) == oracle.encode(prompt).ids
