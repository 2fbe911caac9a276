"""A model and its tokenizer by name: a packaged model, a file, a folder or a hub id."""

from dataclasses import dataclass

import torch

from groundup.errors import GroundupError
from groundup.models.gguf import read_gguf
from groundup.models.gpt2 import GPT2
from groundup.models.gpt2_hugging_face import gpt2_from_hugging_face
from groundup.models.huge_pages import in_huge_pages
from groundup.models.hugging_face_folder import read_config
from groundup.models.llama import Llama
from groundup.models.llama_from_gguf import llama_from_gguf
from groundup.models.llama_from_hugging_face import MODEL_TYPES, llama_from_hugging_face
from groundup.models.locate import locate
from groundup.tokenizers.from_gguf import tokenizer_from_gguf
from groundup.tokenizers.from_hugging_face import tokenizer_from_folder
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["LoadedModel", "fastest_dtype", "load_language_model", "load_model"]


@dataclass(frozen=True)
class LoadedModel:
    """A model that can be talked to."""

    name: str
    model: Llama
    tokenizer: Tokenizer


def load_model(source: str, dtype: torch.dtype | None = None) -> LoadedModel:
    """As `load_language_model`, for a model of Llama's family, which the engine reads in batches.

    Raises:
        GroundupError: as there, or it is of another family.
    """
    model, tokenizer = load_language_model(source, dtype)
    if not isinstance(model, Llama):
        raise GroundupError(
            f"{source} is a {type(model).__name__}, where one of Llama's family is expected: "
            f"`groundup chat --model` talks to it"
        )
    return LoadedModel(source, model, tokenizer)


def load_language_model(
    source: str, dtype: torch.dtype | None = None
) -> tuple[Llama | GPT2, Tokenizer]:
    """Load a decoder-only model to generate with.

    Args:
        source: as `locate` takes it.
        dtype: of the matrices; None takes bfloat16 where the processor multiplies it in hardware,
            float32 elsewhere.

    Returns:
        The model, on the GPU if there is one, else on the CPU; and its tokenizer.

    Raises:
        GroundupError: it cannot be found, fetched or read, or is not of a family that we have.
    """
    path = locate(source)
    if dtype is None:
        dtype = fastest_dtype()
    model: Llama | GPT2
    if path.is_dir():
        kind = read_config(path, "gpt2", *MODEL_TYPES)["model_type"]
        family = gpt2_from_hugging_face if kind == "gpt2" else llama_from_hugging_face
        model, tokenizer = family(path, dtype), tokenizer_from_folder(path)
    else:
        file = read_gguf(path)
        model, tokenizer = llama_from_gguf(file, dtype), tokenizer_from_gguf(file.metadata)
    if torch.cuda.is_available():
        model = model.to("cuda", dtype)
    else:
        for parameter in model.parameters():
            parameter.data = in_huge_pages(parameter.data)
    return model, tokenizer


def fastest_dtype() -> torch.dtype:
    """bfloat16 where the processor or the GPU multiplies it in hardware, else float32."""
    if torch.cuda.is_available():
        return torch.bfloat16
    capabilities = torch.cpu.get_capabilities()
    return torch.bfloat16 if capabilities.get("avx512_bf16") else torch.float32
