"""A small corpus, and trainings of a small GPT-2 on it."""

from collections.abc import Callable

import pytest
import torch

from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.tokenizers.tokenizer_json import save_tokenizer
from groundup.training.character_tokenizer import character_tokenizer
from groundup.training.corpus import find_documents, hold_out, read_piece
from groundup.training.rows import StreamRows
from groundup.training.token_shards import write_token_shards

TEXT = "the quick brown fox jumps over the lazy dog, and the dog sleeps on.\n" * 60


@pytest.fixture(scope="session")
def rows(tmp_path_factory: pytest.TempPathFactory) -> StreamRows:
    """Rows of 16 characters."""
    folder = tmp_path_factory.mktemp("corpus")
    (folder / "text.txt").write_text(TEXT)
    pieces, _ = hold_out(find_documents([folder / "text.txt"]))
    save_tokenizer(character_tokenizer(map(read_piece, pieces)), folder)
    return StreamRows(write_token_shards(pieces, folder, folder / "data", workers=1), 16, seed=0)


@pytest.fixture(name="model")
def model_fixture(rows: StreamRows) -> Callable[..., GPT2]:
    """Makes a model of two layers, the same each time."""

    def make(dropout: float = 0.0) -> GPT2:
        torch.manual_seed(0)
        vocabulary = int(rows.tokens.read(0, len(rows.tokens)).max()) + 1
        return GPT2(GPT2Config(vocabulary, 16, dim=16, layers=2, heads=2, dropout=dropout))

    return make
