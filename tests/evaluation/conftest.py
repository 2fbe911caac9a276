"""The same small random model, ours and theirs."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from groundup.models.llama import Llama
from groundup.models.llama_from_hugging_face import llama_from_hugging_face


@pytest.fixture(scope="session", name="models")
def models_fixture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Llama, LlamaForCausalLM]:
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(
        LlamaConfig(
            vocab_size=97, hidden_size=32, intermediate_size=48, num_hidden_layers=2,
            num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=600,
            initializer_range=0.3, pad_token_id=None,
        )
    ).eval()  # fmt: skip
    folder: Path = tmp_path_factory.mktemp("model")
    theirs.save_pretrained(folder)
    return llama_from_hugging_face(folder, torch.float32), theirs
