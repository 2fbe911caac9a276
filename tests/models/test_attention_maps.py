"""Attention's weights against transformers', and what they must be by their nature."""

from functools import partial
from typing import Any

import pytest
import torch
from transformers import LlamaConfig as HuggingFaceConfig
from transformers import LlamaForCausalLM

from groundup.models.attention_maps import read_with_attention
from groundup.models.llama import Llama, LlamaConfig

SIZES: dict[str, Any] = {"head_dim": 8, "norm_eps": 1e-5, "rotary_base": 10_000.0}


def pair() -> tuple[LlamaForCausalLM, Llama]:
    torch.manual_seed(0)
    theirs = LlamaForCausalLM(
        HuggingFaceConfig(
            vocab_size=61, hidden_size=32, intermediate_size=48, num_hidden_layers=3,
            num_attention_heads=4, num_key_value_heads=2, head_dim=8, rms_norm_eps=1e-5,
            rope_theta=10_000.0, max_position_embeddings=64, attn_implementation="eager",
            initializer_range=0.6,
        )
    ).eval()  # fmt: skip
    config = LlamaConfig(
        vocabulary=61, dim=32, hidden_dim=48, layers=3, heads=4, kv_heads=2, context=64, **SIZES
    )
    ours = Llama(config).requires_grad_(False).eval()
    state = {name.removeprefix("model."): value for name, value in theirs.state_dict().items()}
    ours.load_state_dict(state)
    return theirs, ours


@pytest.mark.parametrize("shown", [100, 20, 7, 1])
def test_weights_are_those_of_transformers(shown: int) -> None:
    theirs, ours = pair()
    ids = torch.randint(0, 61, (20,))
    with torch.no_grad():
        out = theirs(ids[None], output_attentions=True, output_hidden_states=True)
    expected = torch.cat(out.attentions)  # (L, H, T, T)
    hidden, maps = read_with_attention(ours, ids, shown)
    n = min(shown, 20)
    assert maps.shape == (3, 4, n, 1 + n)
    close = partial(torch.testing.assert_close, rtol=1e-3, atol=1e-4)
    close(maps[..., 1:], expected[:, :, 20 - n :, 20 - n :])
    close(maps[..., 0], expected[:, :, 20 - n :, : 20 - n].sum(-1))
    close(hidden, out.hidden_states[-1][0])
    assert maps.std() > 0.05  # they are not all alike


def test_a_window_is_seen_and_the_model_is_left_as_it_was() -> None:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocabulary=61, dim=32, hidden_dim=48, layers=2, heads=4, kv_heads=2, context=64, window=5,
        **SIZES,
    )  # fmt: skip
    model = Llama(config).requires_grad_(False).eval()
    own = [layer.self_attn.attend for layer in model.layers]  # type: ignore[union-attr]
    _, maps = read_with_attention(model, torch.randint(0, 61, (30,)), 30)
    seen = maps[..., 1:] > 0
    i, j = torch.meshgrid(torch.arange(30), torch.arange(30), indexing="ij")
    assert torch.equal(seen[0, 0], (j <= i) & (i - j < 5))
    torch.testing.assert_close(maps.sum(-1), torch.ones(2, 4, 30))
    assert [layer.self_attn.attend for layer in model.layers] == own  # type: ignore[union-attr]
