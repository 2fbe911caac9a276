"""GPT-2 in Hugging Face's layout: loaded from a folder and saved to one."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.attention import attention
from groundup.models.from_state import model_from_state
from groundup.models.gpt2 import GPT2, GPT2Config
from groundup.models.hugging_face_folder import read_config, read_weights, write_folder
from groundup.models.language_model import Attend

__all__ = ["gpt2_from_hugging_face", "gpt2_to_hugging_face"]

# They multiply from the right there: (in, out), the transpose of a linear layer's weight.
TRANSPOSED = ("c_attn.weight", "c_proj.weight", "c_fc.weight")
BUFFERS = (".attn.bias", ".attn.masked_bias")  # masks, which old files hold among the weights


def gpt2_from_hugging_face(
    folder: Path, dtype: torch.dtype = torch.float32, attend: Attend = attention
) -> GPT2:
    """The model of a folder, its matrices in ``dtype``, on the CPU; it can be trained further.

    Raises:
        GroundupError: a file is missing or damaged, or the configuration is not one of ours.
    """
    entries = read_config(folder, "gpt2")
    path = folder / "config.json"
    wanted = {
        "activation_function": "gelu_new",
        "scale_attn_weights": True,
        "scale_attn_by_inverse_layer_idx": False,
        "tie_word_embeddings": True,
    }
    for name, value in wanted.items():
        if (found := entries.get(name, value)) != value:
            raise GroundupError(f"{path} has {name} {found!r}: only {value!r} is supported")
    try:
        config = GPT2Config(
            vocabulary=entries["vocab_size"],
            context=entries["n_positions"],
            dim=entries["n_embd"],
            layers=entries["n_layer"],
            heads=entries["n_head"],
            dropout=entries.get("resid_pdrop", 0.1),
            norm_eps=entries.get("layer_norm_epsilon", 1e-5),
        )
        if entries.get("n_inner") not in (None, 4 * config.dim):
            raise ValueError(f"n_inner is {entries['n_inner']}: expected {4 * config.dim} or null")
    except KeyError as error:
        raise GroundupError(f"{path} lacks the entry {error}") from None
    except ValueError as error:
        raise GroundupError(f"{path}: {error}") from None
    state = {
        name.removeprefix("transformer."): weight.to(torch.float32 if weight.ndim == 1 else dtype)
        for name, weight in read_weights(folder).items()
        if not name.endswith(BUFFERS)
    }
    return model_from_state(lambda: GPT2(config, attend), _turned(state), folder)


def gpt2_to_hugging_face(model: GPT2, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``, which `transformers` reads as well.

    Raises:
        GroundupError: the folder cannot be written.
    """
    config = model.config
    state = {name: w for name, w in model.state_dict().items() if name != "lm_head.weight"}
    entries = {
        "architectures": ["GPT2LMHeadModel"],
        "model_type": "gpt2",
        "vocab_size": config.vocabulary,
        "n_positions": config.context,
        "n_embd": config.dim,
        "n_layer": config.layers,
        "n_head": config.heads,
        "resid_pdrop": config.dropout,
        "embd_pdrop": config.dropout,
        "attn_pdrop": 0.0,
        "layer_norm_epsilon": config.norm_eps,
        "bos_token_id": None,
        "eos_token_id": None,
        "dtype": str(model.wte.weight.dtype).removeprefix("torch."),
    }
    write_folder(folder, entries, {f"transformer.{n}": w for n, w in _turned(state).items()})


def _turned(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {n: w.T.contiguous() if n.endswith(TRANSPOSED) else w for n, w in state.items()}
