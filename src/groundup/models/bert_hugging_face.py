"""BERT in Hugging Face's layout: loaded from a folder and saved to one."""

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from groundup.errors import GroundupError
from groundup.models.activations import activation_named
from groundup.models.bert import Bert, BertClassifier, BertConfig, BertMaskedLM
from groundup.models.from_state import model_from_state
from groundup.models.hugging_face_folder import read_config, read_weights, rename, write_folder

__all__ = [
    "bert_classifier_from_hugging_face",
    "bert_from_hugging_face",
    "bert_masked_lm_from_hugging_face",
    "bert_to_hugging_face",
]

# Ours and theirs, in an order in which both ways work: longer texts before their parts.
NAMES = [
    ("embed_tokens", "embeddings.word_embeddings"),
    ("embed_positions", "embeddings.position_embeddings"),
    ("embed_types", "embeddings.token_type_embeddings"),
    ("embed_norm", "embeddings.LayerNorm"),
    ("pooler.", "pooler.dense."),
    ("self_attn_layer_norm", "attention.output.LayerNorm"),
    ("self_attn.out_proj", "attention.output.dense"),
    ("self_attn.q_proj", "attention.self.query"),
    ("self_attn.k_proj", "attention.self.key"),
    ("self_attn.v_proj", "attention.self.value"),
    ("fc1", "intermediate.dense"),
    ("fc2", "output.dense"),
    ("final_layer_norm", "output.LayerNorm"),
    ("bert.layers.", "bert.encoder.layer."),
]
HEAD = [
    ("dense.", "cls.predictions.transform.dense."),
    ("norm.", "cls.predictions.transform.LayerNorm."),
    ("decoder.bias", "cls.predictions.bias"),
]
OLDER = [("gamma", "weight"), ("beta", "bias")]  # of norms, in files of TensorFlow's time


def bert_from_hugging_face(folder: Path, dtype: torch.dtype = torch.float32) -> Bert:
    """The encoder and its pooler, its matrices in ``dtype``, on the CPU; it can be trained further.

    Raises:
        GroundupError: a file is missing or damaged, or the configuration is not one of ours.
    """
    config, state = _read(folder, dtype)
    own = {n.removeprefix("bert."): w for n, w in state.items() if n.startswith("bert.")}
    return model_from_state(lambda: Bert(config), own, folder)


def bert_masked_lm_from_hugging_face(
    folder: Path, dtype: torch.dtype = torch.float32
) -> BertMaskedLM:
    """As `bert_from_hugging_face`, with the head for masked tokens.

    Where the folder has no pooler, which this head does not use, the pooler is zeros.
    """
    config, state = _read(folder, dtype)
    heads = {n: w for n, w in state.items() if n.startswith("cls.predictions.")}
    heads.pop("cls.predictions.decoder.weight", None)  # copies of the embeddings and of the bias
    heads.pop("cls.predictions.decoder.bias", None)
    own = {n: w for n, w in state.items() if n.startswith("bert.")}
    own |= rename(heads, [(theirs, ours) for ours, theirs in HEAD])
    own.setdefault("bert.pooler.weight", torch.zeros(config.dim, config.dim, dtype=dtype))
    own.setdefault("bert.pooler.bias", torch.zeros(config.dim))
    return model_from_state(lambda: BertMaskedLM(config), own, folder)


def bert_classifier_from_hugging_face(
    folder: Path, dtype: torch.dtype = torch.float32
) -> BertClassifier:
    """As `bert_from_hugging_face`, with the head that classifies texts.

    Raises:
        GroundupError: as there, or the folder has no classifier.
    """
    config, state = _read(folder, dtype)
    if "classifier.weight" not in state:
        raise GroundupError(f"{folder} has no classifier: train one on top of `Bert`")
    own = {n: w for n, w in state.items() if n.startswith(("bert.", "classifier."))}
    labels = state["classifier.weight"].shape[0]
    return model_from_state(lambda: BertClassifier(config, labels), own, folder)


def bert_to_hugging_face(model: Bert | BertMaskedLM | BertClassifier, folder: Path) -> None:
    """Write ``config.json`` and ``model.safetensors``, which `transformers` reads as well.

    Raises:
        GroundupError: the folder cannot be written.
    """
    state: dict[str, Tensor] = dict(model.state_dict())
    extra: dict[str, Any] = {}
    if isinstance(model, Bert):
        config, architecture = model.config, "BertModel"
        state = {f"bert.{name}": weight for name, weight in state.items()}
    elif isinstance(model, BertMaskedLM):
        config, architecture = model.bert.config, "BertForMaskedLM"
        del state["decoder.weight"]
        heads = {name: w for name, w in state.items() if not name.startswith("bert.")}
        state = {n: w for n, w in state.items() if n.startswith("bert.") and ".pooler." not in n}
        state |= rename(heads, HEAD)
    else:
        config, architecture = model.bert.config, "BertForSequenceClassification"
        labels = model.classifier.out_features
        extra = {"id2label": {str(i): f"LABEL_{i}" for i in range(labels)}}
        extra["label2id"] = {name: int(i) for i, name in extra["id2label"].items()}
    entries = {
        "architectures": [architecture],
        "model_type": "bert",
        "vocab_size": config.vocabulary,
        "hidden_size": config.dim,
        "intermediate_size": config.hidden_dim,
        "num_hidden_layers": config.layers,
        "num_attention_heads": config.heads,
        "max_position_embeddings": config.context,
        "type_vocab_size": config.types,
        "hidden_dropout_prob": config.dropout,
        "attention_probs_dropout_prob": 0.0,
        "hidden_act": config.activation,
        "layer_norm_eps": config.norm_eps,
        **extra,
    }
    body = {name: w for name, w in state.items() if name.startswith("bert.")}
    rest = {name: w for name, w in state.items() if name not in body}
    write_folder(folder, entries, rest | rename(body, NAMES))


def _read(folder: Path, dtype: torch.dtype) -> tuple[BertConfig, dict[str, Tensor]]:
    """The configuration, and the weights: the encoder's under our names, others under theirs."""
    entries = read_config(folder, "bert")
    path = folder / "config.json"
    if (kind := entries.get("position_embedding_type", "absolute")) != "absolute":
        raise GroundupError(f"{path} asks for {kind!r} positions: only absolute ones are supported")
    try:
        config = BertConfig(
            vocabulary=entries["vocab_size"],
            dim=entries["hidden_size"],
            hidden_dim=entries["intermediate_size"],
            layers=entries["num_hidden_layers"],
            heads=entries["num_attention_heads"],
            context=entries["max_position_embeddings"],
            types=entries["type_vocab_size"],
            dropout=entries.get("hidden_dropout_prob", 0.1),
            activation=entries["hidden_act"],
            norm_eps=entries["layer_norm_eps"],
        )
        activation_named(config.activation)
    except KeyError as error:
        raise GroundupError(f"{path} lacks the entry {error}") from None
    except ValueError as error:
        raise GroundupError(f"{path}: {error}") from None
    weights = {
        name: weight.to(torch.float32 if weight.ndim == 1 else dtype)
        for name, weight in rename(read_weights(folder), OLDER).items()
        if not name.endswith("position_ids")
    }
    # A bare encoder, as sentence embedders are, is stored without the prefix.
    if not any(name.startswith("bert.") for name in weights):
        weights = {f"bert.{name}": weight for name, weight in weights.items()}
    body = {n: w for n, w in weights.items() if n.startswith("bert.")}
    rest = {n: w for n, w in weights.items() if n not in body}
    return config, rest | rename(body, [(theirs, ours) for ours, theirs in NAMES])
