"""A tuned model as a folder that stands by itself: weights, tokenizer and chat template."""

import json
import shutil
from pathlib import Path

from groundup.atomic_write import write_text
from groundup.errors import GroundupError
from groundup.models.gguf import read_gguf
from groundup.models.gpt2 import GPT2
from groundup.models.gpt2_hugging_face import gpt2_to_hugging_face
from groundup.models.llama import Llama
from groundup.models.llama_to_hugging_face import llama_to_hugging_face
from groundup.tokenizers.gguf_to_json import gguf_tokenizer_files

__all__ = ["save_model_folder", "save_tokenizer"]

TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json",
                   "generation_config.json", "chat_template.jinja", "vocab.json",
                   "merges.txt")  # fmt: skip


def save_model_folder(model: Llama | GPT2, source: Path, folder: Path) -> None:
    """Write a model in Hugging Face's layout, with the tokenizer of the model that it came from.

    Args:
        model: what is written.
        source: the GGUF file or folder that it was loaded from.
        folder: is made where it is missing.

    Raises:
        GroundupError: the folder cannot be written, or the model has no such layout.
    """
    save_tokenizer(source, folder)
    if isinstance(model, GPT2):
        gpt2_to_hugging_face(model, folder)
    else:
        llama_to_hugging_face(model, folder)


def save_tokenizer(source: Path, folder: Path) -> None:
    """Write the tokenizer of the model that ``source`` holds; arguments and errors as above."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if source.is_dir():
            for name in TOKENIZER_FILES:
                if (source / name).is_file() and source.resolve() != folder.resolve():
                    shutil.copyfile(source / name, folder / name)
        else:
            for name, content in gguf_tokenizer_files(read_gguf(source).metadata).items():
                text = json.dumps(content, ensure_ascii=False, indent=2)
                write_text(folder / name, text + "\n")
    except OSError as error:
        raise GroundupError(f"cannot write the tokenizer to {folder}: {error}") from error
