"""A model that is evaluated: with its tokenizer, and an adapter perhaps."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import torch

from groundup.engine.engine import Engine
from groundup.engine.lora_adapter import load_lora_adapter
from groundup.errors import GroundupError
from groundup.models.download import sha256_of
from groundup.models.gpt2 import GPT2
from groundup.models.llama import Llama
from groundup.models.load import load_language_model
from groundup.models.locate import locate
from groundup.tokenizers.tokenizer import Tokenizer

__all__ = ["Subject", "fingerprint", "load_subject"]

ADAPTER = "adapter"  # its name in the engine


@dataclass(frozen=True, eq=False)
class Subject:
    """What answers."""

    name: str
    model: Llama | GPT2
    tokenizer: Tokenizer
    sha256: str  # of the files, so that answers of another model are never taken for this one's
    adapter: Path | None = None

    @cached_property
    def engine(self) -> Engine:
        """Writes answers, many at a time.

        Raises:
            GroundupError: the model is not of Llama's family, or the adapter is not for it.
        """
        if not isinstance(self.model, Llama):
            raise GroundupError(
                f"{self.name} is a {type(self.model).__name__}: tasks in which it writes need one "
                "of Llama's family; perplexity and multiple_choice take it"
            )
        engine = Engine(self.model, self.tokenizer, max_sequences=32)
        if self.adapter is not None:
            engine.load_adapter(ADAPTER, self.adapter)
        return engine

    @contextmanager
    def adapted(self) -> Iterator[Llama | GPT2]:
        """Within the context, the model itself, with what the adapter adds."""
        if self.adapter is None:
            yield self.model
            return
        if not isinstance(self.model, Llama):
            raise GroundupError(f"adapters are for Llama's family, not {type(self.model).__name__}")
        with load_lora_adapter(self.adapter, self.model).applied_to(self.model):
            yield self.model


def load_subject(
    source: str, *, adapter: Path | None = None, dtype: torch.dtype | None = None
) -> Subject:
    """Load a model, as `load_language_model` names them, to evaluate it.

    Raises:
        GroundupError: as there, or the adapter's folder cannot be read.
    """
    path = locate(source)
    model, tokenizer = load_language_model(str(path), dtype)
    model.eval()
    digest, name = fingerprint(path), Path(source).name
    if adapter is not None:
        if not adapter.is_dir():
            raise GroundupError(f"there is no adapter {adapter}: name its folder")
        digest = hashlib.sha256(f"{digest} {fingerprint(adapter)}".encode()).hexdigest()
        name = f"{name}+{adapter.name}"
    return Subject(name, model, tokenizer, digest, adapter)


def fingerprint(path: Path) -> str:
    """The SHA-256 of a model's file; of a folder, of its weights and configurations."""
    if path.is_file():
        return sha256_of(path)
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.suffix in (".safetensors", ".json"):
            whole.update(f"{file.name} {sha256_of(file)}\n".encode())
    return whole.hexdigest()
