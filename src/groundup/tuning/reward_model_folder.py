"""A reward model saved: a language model in Hugging Face's layout, and the head beside it."""

from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from groundup.errors import GroundupError
from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face, gpt2_to_hugging_face
from groundup.models.hugging_face_folder import read_config
from groundup.models.llama import Llama
from groundup.models.llama_from_hugging_face import MODEL_TYPES, llama_from_hugging_face
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.tuning.reward_model import RewardModel

__all__ = ["load_reward_model", "save_reward_model"]

HEAD = "score.safetensors"


def save_reward_model(model: RewardModel, folder: Path) -> None:
    """Write ``config.json``, ``model.safetensors`` and, with the head, ``score.safetensors``.

    Raises:
        GroundupError: the folder cannot be written.
    """
    if isinstance(model.model, Llama):
        llama_to_hugging_face(model.model, folder)
    else:
        gpt2_to_hugging_face(model.model, folder)
    temporary = folder / f".{HEAD}.part"
    try:
        save_file({"score.weight": model.score.weight.detach()}, temporary)
        temporary.replace(folder / HEAD)
    except (OSError, SafetensorError) as error:
        raise GroundupError(f"cannot write the reward model to {folder}: {error}") from None
    finally:
        temporary.unlink(missing_ok=True)


def load_reward_model(folder: Path, dtype: torch.dtype = torch.float32) -> RewardModel:
    """The reward model of a folder that `save_reward_model` wrote, on the CPU, ready to score.

    Raises:
        GroundupError: a file is missing or damaged, or the head is of another model.
    """
    kind = read_config(folder, "gpt2", *MODEL_TYPES)["model_type"]
    read = gpt2_from_hugging_face if kind == "gpt2" else llama_from_hugging_face
    model = RewardModel(read(folder, dtype))
    try:
        with safe_open(folder / HEAD, framework="pt") as tensors:
            weight = tensors.get_tensor("score.weight")
    except FileNotFoundError:
        raise GroundupError(f"{folder} is no reward model: it has no {HEAD}") from None
    except SafetensorError as error:
        raise GroundupError(f"{folder / HEAD} is damaged: {error}") from None
    if weight.shape != model.score.weight.shape:
        raise GroundupError(
            f"{folder / HEAD} is of another model: its shape is {tuple(weight.shape)}, expected "
            f"{tuple(model.score.weight.shape)}"
        )
    model.score.weight = nn.Parameter(weight.to(model.score.weight.dtype))
    return model.requires_grad_(False).eval()
