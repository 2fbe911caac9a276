"""An adapter's folder in PEFT's layout: ``adapter_config.json``, ``adapter_model.safetensors``."""

import json
import math
from collections.abc import Collection
from pathlib import Path
from typing import Any

import regex
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.weights_digest import weights_digest

__all__ = [
    "BASE_DIGEST",
    "check_base",
    "check_lora",
    "pattern_fits",
    "rank_and_scaling",
    "read_peft_config",
    "read_peft_weights",
]

BASE_DIGEST = "base_sha256"  # in the weights' metadata: `weights_digest` of the base

# What a configuration of LoRA may say besides what is read: of no consequence once an adapter is
# trained. Any other entry must be empty, as it would change what the adapter does.
OF_NO_CONSEQUENCE = {
    "auto_mapping", "base_model_name_or_path", "corda_config", "ensure_weight_tying", "eva_config",
    "exclude_modules", "inference_mode", "layers_pattern", "layers_to_transform", "lora_dropout",
    "lora_ga_config", "megatron_core", "peft_version", "qalora_group_size", "revision",
}  # fmt: skip
READ = {
    "alpha_pattern", "init_lora_weights", "lora_alpha", "peft_type", "r", "rank_pattern",
    "target_modules", "task_type", "use_rslora",
}  # fmt: skip
# Ways to begin that leave the base model as it is; the others take something out of it.
BEGINNINGS = (True, False, None, "gaussian", "eva", "orthogonal")
MATCH_DEADLINE = 0.2  # seconds, for a pattern to match a name


def read_peft_config(folder: Path) -> dict[str, Any]:
    """What ``adapter_config.json`` says.

    Raises:
        GroundupError: it is missing or damaged.
    """
    path = folder / "adapter_config.json"
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GroundupError(
            f"{folder} is not an adapter's folder, as peft's save_pretrained makes it: "
            f"{path.name} cannot be read ({error.strerror})"
        ) from None
    except ValueError as error:
        raise GroundupError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise GroundupError(f"{path} holds a {type(config).__name__}, expected an object")
    return config


def check_lora(config: dict[str, Any], path: Path, also: Collection[str], expected: str) -> None:
    """What the configuration of a LoRA asks for is known.

    Args:
        config: of PEFT's type LORA, from ``path``.
        path: for messages.
        also: further entries that the caller reads.
        expected: what it takes, in words.

    Raises:
        GroundupError: something else would change what the adapter does.
    """
    for entry, value in config.items():
        known = READ | OF_NO_CONSEQUENCE
        if entry not in known and entry not in also and value not in (None, False, "none", [], {}):
            raise GroundupError(
                f"{path} asks for {entry} {value!r}, which is not supported: expected {expected}"
            )
    if config.get("init_lora_weights") not in BEGINNINGS:
        raise GroundupError(
            f"{path} has init_lora_weights {config['init_lora_weights']!r}, which may change the "
            "base model too: save it with peft's path_initial_model_for_weight_conversion"
        )


def read_peft_weights(folder: Path) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The adapter's tensors by PEFT's names, and the file's metadata.

    Raises:
        GroundupError: the file is missing, damaged, empty or pickled.
    """
    file = folder / "adapter_model.safetensors"
    if not file.exists() and (folder / "adapter_model.bin").exists():
        raise GroundupError(
            f"{folder} holds adapter_model.bin, whose pickled weights are never loaded, as they "
            "can run any program: save the adapter again with safe_serialization=True"
        )
    try:
        with safe_open(file, framework="pt") as tensors:
            weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
            metadata: dict[str, str] = tensors.metadata() or {}
    except OSError:
        raise GroundupError(f"{folder} lacks the weights {file.name}") from None
    except SafetensorError as error:
        raise GroundupError(f"{file} is truncated or not safetensors: {error}") from None
    if not weights:
        raise GroundupError(f"{file} holds no weights")
    for name, weight in weights.items():
        if not weight.isfinite().all():
            raise GroundupError(f"{file} holds values that are not finite, in {name}")
    return weights, metadata


def check_base(folder: Path, metadata: dict[str, str], model: nn.Module) -> None:
    """The adapter was trained on this model, where its file says on which (ours do).

    Raises:
        GroundupError: it was trained on another.
    """
    trained_on = metadata.get(BASE_DIGEST)
    if trained_on is not None and trained_on != (given := weights_digest(model)):
        raise GroundupError(
            f"{folder} was trained on another model, whose weights have the SHA-256 "
            f"{trained_on[:12]}…, and this one's have {given[:12]}…: give the model that it was "
            "trained on"
        )


def rank_and_scaling(config: dict[str, Any], name: str, path: Path) -> tuple[int, float]:
    """How many rows A has for a layer of this name in PEFT, and what its addition is multiplied by.

    Raises:
        GroundupError: the configuration's numbers or patterns are not ones.
    """

    def value(patterns: str, entry: str) -> Any:
        own = config.get(patterns) or {}
        if not isinstance(own, dict):
            raise GroundupError(f"{path} has {patterns} {own!r}: expected an object")
        for pattern, number in own.items():
            if pattern_fits(rf"(.*\.)?({pattern})", name, path):
                return number
        return config.get(entry, 8)  # PEFT's default of both

    r, alpha = value("rank_pattern", "r"), value("alpha_pattern", "lora_alpha")
    if not isinstance(r, int) or r <= 0:
        raise GroundupError(f"{path} has the rank {r!r} for {name}: expected a positive number")
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise GroundupError(f"{path} has lora_alpha {alpha!r} for {name}: expected a number")
    return r, alpha / (math.sqrt(r) if config.get("use_rslora") else r)


def pattern_fits(pattern: str, name: str, path: Path) -> bool:
    """Whether a stranger's pattern is that of a layer's whole name in PEFT.

    Raises:
        GroundupError: it is not a regular expression, or takes too long.
    """
    try:
        return regex.fullmatch(pattern, name, timeout=MATCH_DEADLINE) is not None
    except (regex.error, TimeoutError) as error:
        raise GroundupError(f"{path} has the pattern {pattern!r}: {error}") from None
