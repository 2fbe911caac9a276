"""A model that is evaluated: with its tokenizer, and an adapter perhaps."""

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import cast

import torch

from groundup.engine.engine import Engine
from groundup.engine.lora_adapter import load_lora_adapter
from groundup.errors import GroundupError
from groundup.evaluation.one_by_one import OneByOne
from groundup.models.download import sha256_of
from groundup.models.language_model import LanguageModel
from groundup.models.llama import Llama
from groundup.models.load import load_language_model
from groundup.models.locate import locate
from groundup.models.peft_folder import read_peft_config
from groundup.tokenizers.tokenizer import Tokenizer
from groundup.tuning.adapter_folder import load_adapter

__all__ = ["Subject", "fingerprint", "load_subject"]

ADAPTER = "adapter"  # its name in the engine


@dataclass(frozen=True, eq=False)
class Subject:
    """What answers."""

    name: str
    model: LanguageModel
    tokenizer: Tokenizer
    sha256: str  # of the files, so that answers of another model are never taken for this one's
    lora: Path | None = None  # an adapter's folder that the model is given as it answers

    @cached_property
    def engine(self) -> Engine | OneByOne:
        """Writes answers; many at a time, where the model is of Llama's family.

        Raises:
            GroundupError: the adapter is not for the model.
        """
        if not isinstance(self.model, Llama):
            return OneByOne(self.model)
        engine = Engine(self.model, self.tokenizer, max_sequences=32)
        if self.lora is not None:
            engine.load_adapter(ADAPTER, self.lora)
        return engine

    @contextmanager
    def adapted(self) -> Iterator[LanguageModel]:
        """Within the context, the model itself, with what the adapter adds."""
        if self.lora is None:
            yield self.model
            return
        assert isinstance(self.model, Llama)
        with load_lora_adapter(self.lora, self.model).applied_to(self.model):
            yield self.model


def load_subject(
    source: str, *, adapter: Path | None = None, dtype: torch.dtype | None = None
) -> Subject:
    """Load a model, as `load_language_model` names them, to evaluate it.

    Llama's family is served LoRA's adapters by the engine, QLoRA's too: over the base as it is
    loaded, not in 4 bits. Others are merged into it; a prefix or a prompt stands before a text.

    Raises:
        GroundupError: as there, or the adapter's folder cannot be read or is for another model.
    """
    path = locate(source)
    base, tokenizer = load_language_model(str(path), dtype)
    digest, name = fingerprint(path), Path(source).name
    model: LanguageModel = base
    lora = None
    if adapter is not None:
        if not adapter.is_dir():
            raise GroundupError(f"there is no adapter {adapter}: name its folder")
        digest = hashlib.sha256(f"{digest} {fingerprint(adapter)}".encode()).hexdigest()
        name = f"{name}+{adapter.name}"
        config = read_peft_config(adapter)
        if isinstance(base, Llama) and config.get("peft_type") == "LORA" and not config.get(
            "use_dora"
        ):  # fmt: skip
            lora = adapter
        else:
            loaded = load_adapter(adapter, base)
            model = cast("LanguageModel", loaded.merge() if loaded.layers else loaded)
    base.eval()
    return Subject(name, model, tokenizer, digest, lora)


def fingerprint(path: Path) -> str:
    """The SHA-256 of a model's file; of a folder, of its weights and configurations."""
    if path.is_file():
        return sha256_of(path)
    whole = hashlib.sha256()
    for file in sorted(path.iterdir()):
        if file.suffix in (".safetensors", ".json"):
            whole.update(f"{file.name} {sha256_of(file)}\n".encode())
    return whole.hexdigest()
