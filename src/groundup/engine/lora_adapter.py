"""A LoRA adapter from a folder in PEFT's layout: low-rank additions to a model's matrices."""

import json
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import regex
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.linear import Linear
from groundup.models.llama import Llama

__all__ = ["LoraAdapter", "load_lora_adapter"]

# What a configuration may say besides what is read below: of no consequence once an adapter is
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
WEIGHT_NAME = regex.compile(r"base_model\.model\.model\.(.+)\.lora_([AB])\.weight")


@dataclass(frozen=True)
class LoraAdapter:
    """Additions to some of a model's linear layers: y = x W.T + (x A.T) B.T.

    Source: Hu et al. 2021, "LoRA", section 4.1; Kalajdzievski 2023, "A rank stabilization scaling
    factor for fine-tuning with LoRA", theorem 3.2 (``use_rslora``).
    """

    # By the layer's name in `Llama`: A (r, in), and B (out, r), which is scaled already.
    weights: dict[str, tuple[Tensor, Tensor]]
    digest: bytes  # 16 bytes, of names and weights: equal where the adapters are

    @contextmanager
    def applied_to(self, model: Llama) -> Iterator[None]:
        """Within the context, the model's own modules answer with the adapter.

        Raises:
            GroundupError: at its end, where a layer with an addition has not been called: a
                learner's module may use its weight in another way.
        """
        called = set()

        def addition(name: str, a: Tensor, b: Tensor) -> Callable[..., Tensor]:
            def hook(_layer: nn.Module, inputs: tuple[Tensor], y: Tensor) -> Tensor:
                called.add(name)
                return y + (inputs[0].to(a.dtype) @ a.T @ b.T).to(y.dtype)

            return hook

        with ExitStack() as hooks:
            for name, (a, b) in self.weights.items():
                layer = model.get_submodule(name)
                hooks.callback(layer.register_forward_hook(addition(name, a, b)).remove)
            yield
        for name in self.weights:
            if name not in called:
                raise GroundupError(
                    f"the adapter adds to {name}, which the model has not called: a part that is "
                    "swapped in must call its layers, or the adapter cannot be used"
                )


def load_lora_adapter(folder: Path, model: Llama) -> LoraAdapter:
    """The adapter of ``adapter_config.json`` and ``adapter_model.safetensors``, for this model.

    Its weights take the dtype of the model's matrices, and their device.

    Raises:
        GroundupError: a file is missing, damaged or pickled; the adapter is of a kind that is not
            supported; or it was trained for another model.
    """
    path = folder / "adapter_config.json"
    config = _read_config(path)
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and name.startswith("layers.")
    }
    halves: dict[str, dict[str, Tensor]] = {}
    for full_name, matrix in _read_weights(folder).items():
        match = WEIGHT_NAME.fullmatch(full_name)
        if match is None or match[1] not in layers:
            known = ", ".join(sorted({name.split(".")[-1] for name in layers}))
            raise GroundupError(
                f"{folder} holds {full_name}, to which nothing in this model corresponds: expected "
                f"additions to {known} of layers 0 to {model.config.layers - 1} alone"
            )
        halves.setdefault(match[1], {})[match[2]] = matrix
    _check_targets(config, list(halves), path)
    weights: dict[str, tuple[Tensor, Tensor]] = {}
    digest = blake2b(digest_size=16)
    for name, half in sorted(halves.items()):
        layer = layers[name]
        r, scaling = _rank_and_scaling(config, name, path)
        expected = {"A": (r, layer.in_features), "B": (layer.out_features, r)}
        shapes = {which: tuple(matrix.shape) for which, matrix in half.items()}
        if shapes != expected:
            raise GroundupError(
                f"{folder} adds to {name} with matrices of shapes {shapes}, expected {expected} "
                f"for this model and the rank in {path.name}: the adapter was trained for another "
                f"model ({config.get('base_model_name_or_path') or 'it does not say which'})"
            )
        a, b = (m.to(layer.weight.dtype) for m in (half["A"], half["B"].float() * scaling))
        if not (a.isfinite().all() and b.isfinite().all()):
            raise GroundupError(f"{folder} adds to {name} with values that are not finite")
        for matrix in (a, b):
            digest.update(f"{name} {tuple(matrix.shape)} ".encode())
            digest.update(matrix.float().numpy().tobytes())
        weights[name] = a.to(layer.weight.device), b.to(layer.weight.device)
    return LoraAdapter(weights, digest.digest())


def _read_config(path: Path) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise GroundupError(
            f"{path.parent} is not an adapter's folder, as peft's save_pretrained makes it: "
            f"{path.name} cannot be read ({error.strerror})"
        ) from None
    except ValueError as error:
        raise GroundupError(f"{path} is not valid JSON: {error}") from None
    if not isinstance(config, dict):
        raise GroundupError(f"{path} holds a {type(config).__name__}, expected an object")
    for entry, expected in (("peft_type", ("LORA",)), ("task_type", ("CAUSAL_LM", None))):
        if (value := config.get(entry)) not in expected:
            raise GroundupError(f"{path} has {entry} {value!r}: expected {expected[0]}")
    for entry, value in config.items():
        if entry not in READ | OF_NO_CONSEQUENCE and value not in (None, False, "none", [], {}):
            raise GroundupError(
                f"{path} asks for {entry} {value!r}, which is not supported: expected low-rank "
                "matrices alone, without DoRA, biases, or modules and tokens trained as a whole"
            )
    if config.get("init_lora_weights") not in BEGINNINGS:
        raise GroundupError(
            f"{path} has init_lora_weights {config['init_lora_weights']!r}, which may change the "
            "base model too: save it with peft's path_initial_model_for_weight_conversion"
        )
    return config


def _read_weights(folder: Path) -> dict[str, Tensor]:
    file = folder / "adapter_model.safetensors"
    if not file.exists() and (folder / "adapter_model.bin").exists():
        raise GroundupError(
            f"{folder} holds adapter_model.bin, whose pickled weights are never loaded, as they "
            "can run any program: save the adapter again with safe_serialization=True"
        )
    try:
        with safe_open(file, framework="pt") as tensors:
            weights = {name: tensors.get_tensor(name) for name in tensors.keys()}  # noqa: SIM118
    except OSError:
        raise GroundupError(f"{folder} lacks the weights {file.name}") from None
    except SafetensorError as error:
        raise GroundupError(f"{file} is truncated or not safetensors: {error}") from None
    if not weights:
        raise GroundupError(f"{file} holds no weights")
    return weights


def _check_targets(config: dict[str, Any], names: list[str], path: Path) -> None:
    """The layers with weights are those that the configuration targets.

    Raises:
        GroundupError: one is not targeted, or a target has no weights.
    """
    wanted = config.get("target_modules")
    if isinstance(wanted, str):
        everywhere = wanted.lower() == "all-linear"
        untargeted = [n for n in names if not everywhere and not _matches(wanted, n, path)]
    elif isinstance(wanted, list) and all(isinstance(target, str) for target in wanted):
        reached = {n: {t for t in wanted if f".model.{n}".endswith(f".{t}")} for n in names}
        untargeted = [name for name, targets in reached.items() if not targets]
        if missing := set(wanted).difference(*reached.values()):
            raise GroundupError(
                f"{path} targets {min(missing)!r}, for which {path.parent} has no weights"
            )
    else:
        raise GroundupError(f"{path} has target_modules {wanted!r}: expected names or a pattern")
    if untargeted:
        raise GroundupError(
            f"{path.parent} has weights for {untargeted[0]}, which target_modules {wanted!r} in "
            f"{path.name} does not name"
        )


def _rank_and_scaling(config: dict[str, Any], name: str, path: Path) -> tuple[int, float]:
    """How many rows A has for this layer, and by what its addition is multiplied."""

    def value(patterns: str, entry: str) -> Any:
        own = config.get(patterns) or {}
        if not isinstance(own, dict):
            raise GroundupError(f"{path} has {patterns} {own!r}: expected an object")
        for pattern, number in own.items():
            if _matches(rf"(.*\.)?({pattern})", name, path):
                return number
        return config.get(entry, 8)  # PEFT's default of both

    r, alpha = value("rank_pattern", "r"), value("alpha_pattern", "lora_alpha")
    if not isinstance(r, int) or r <= 0:
        raise GroundupError(f"{path} has the rank {r!r} for {name}: expected a positive number")
    if not isinstance(alpha, int | float) or not math.isfinite(alpha):
        raise GroundupError(f"{path} has lora_alpha {alpha!r} for {name}: expected a number")
    return r, alpha / (math.sqrt(r) if config.get("use_rslora") else r)


def _matches(pattern: str, name: str, path: Path) -> bool:
    """Whether a pattern, made for the names of the base model, is that of one of our layers."""
    try:
        return regex.fullmatch(pattern, f"model.{name}", timeout=MATCH_DEADLINE) is not None
    except (regex.error, TimeoutError) as error:
        raise GroundupError(f"{path} has the pattern {pattern!r}: {error}") from None
