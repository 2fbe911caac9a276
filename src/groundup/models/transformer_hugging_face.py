"""The original transformer in Hugging Face's layout, where the family is called Marian."""

from pathlib import Path

import torch

from groundup.errors import GroundupError
from groundup.models.from_state import model_from_state
from groundup.models.hugging_face_folder import read_config, read_weights, rename, write_folder
from groundup.models.transformer import Transformer, TransformerConfig

__all__ = ["transformer_from_hugging_face", "transformer_to_hugging_face"]

NAMES = [("encoder.", "model.encoder.layers."), ("decoder.", "model.decoder.layers."),
         ("shared.", "model.shared.")]  # fmt: skip
COPIES = ("embed_tokens.weight", "embed_positions.weight", "lm_head.weight")  # in older files


def transformer_from_hugging_face(folder: Path, dtype: torch.dtype = torch.float32) -> Transformer:
    """The model of a folder, in ``dtype``, on the CPU; it can be trained further.

    Raises:
        GroundupError: a file is missing or damaged, or the configuration is not one of ours.
    """
    entries = read_config(folder, "marian")
    path = folder / "config.json"
    try:
        wanted = {
            "scale_embedding": True,
            "share_encoder_decoder_embeddings": True,
            "decoder_vocab_size": entries["vocab_size"],
            "decoder_ffn_dim": entries["encoder_ffn_dim"],
            "decoder_attention_heads": entries["encoder_attention_heads"],
        }
        for name, value in wanted.items():
            if (found := entries.get(name, value)) not in (value, None):
                raise ValueError(f"{name} is {found!r}, and only {value!r} is supported")
        config = TransformerConfig(
            vocabulary=entries["vocab_size"],
            dim=entries["d_model"],
            hidden_dim=entries["encoder_ffn_dim"],
            encoder_layers=entries["encoder_layers"],
            layers=entries["decoder_layers"],
            heads=entries["encoder_attention_heads"],
            context=entries["max_position_embeddings"],
            dropout=entries["dropout"],
            activation=entries["activation_function"],
            start_id=entries["decoder_start_token_id"],
            eos_id=entries["eos_token_id"],
            pad_id=entries["pad_token_id"],
        )
        weights = {
            n: w.to(dtype) for n, w in read_weights(folder).items() if not n.endswith(COPIES)
        }
        state = rename(weights, [(theirs, ours) for ours, theirs in NAMES])
        return model_from_state(lambda: Transformer(config), state, folder)
    except KeyError as error:
        raise GroundupError(f"{path} lacks the entry {error}") from None
    except ValueError as error:
        raise GroundupError(f"{path}: {error}") from None


def transformer_to_hugging_face(model: Transformer, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``, which `transformers` reads as Marian.

    Raises:
        GroundupError: the folder cannot be written.
    """
    config = model.config
    state = {name: w for name, w in model.state_dict().items() if name != "lm_head.weight"}
    entries = {
        "architectures": ["MarianMTModel"],
        "model_type": "marian",
        "is_encoder_decoder": True,
        "vocab_size": config.vocabulary,
        "d_model": config.dim,
        "encoder_ffn_dim": config.hidden_dim,
        "decoder_ffn_dim": config.hidden_dim,
        "encoder_layers": config.encoder_layers,
        "decoder_layers": config.layers,
        "encoder_attention_heads": config.heads,
        "decoder_attention_heads": config.heads,
        "max_position_embeddings": config.context,
        "dropout": config.dropout,
        "activation_function": config.activation,
        "scale_embedding": True,
        "decoder_start_token_id": config.start_id,
        "eos_token_id": config.eos_id,
        "forced_eos_token_id": None,
        "pad_token_id": config.pad_id,
        "dtype": str(model.dtype).removeprefix("torch."),
    }
    write_folder(folder, entries, rename(state, NAMES))
