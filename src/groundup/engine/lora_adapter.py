"""A LoRA adapter from a folder in PEFT's layout: low-rank additions to a model's matrices."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import regex
from torch import Tensor, nn

from groundup.errors import GroundupError
from groundup.models.linear import Linear
from groundup.models.llama import Llama
from groundup.models.peft_folder import (
    check_base,
    check_lora,
    pattern_fits,
    rank_and_scaling,
    read_peft_config,
    read_peft_weights,
)

__all__ = ["LoraAdapter", "load_lora_adapter"]

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
    config = _read_config(folder)
    tensors, metadata = read_peft_weights(folder)
    layers = {
        name: layer
        for name, layer in model.named_modules()
        if isinstance(layer, Linear) and name.startswith("layers.")
    }
    halves: dict[str, dict[str, Tensor]] = {}
    for full_name, matrix in tensors.items():
        match = WEIGHT_NAME.fullmatch(full_name)
        if match is None or match[1] not in layers:
            known = ", ".join(sorted({name.split(".")[-1] for name in layers}))
            raise GroundupError(
                f"{folder} holds {full_name}, to which nothing in this model corresponds: expected "
                f"additions to {known} of layers 0 to {model.config.layers - 1} alone"
            )
        halves.setdefault(match[1], {})[match[2]] = matrix
    _check_targets(config, list(halves), path)
    check_base(folder, metadata, model)
    weights: dict[str, tuple[Tensor, Tensor]] = {}
    digest = blake2b(digest_size=16)
    for name, half in sorted(halves.items()):
        layer = layers[name]
        r, scaling = rank_and_scaling(config, f"model.{name}", path)
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
            raise GroundupError(f"{folder} adds to {name} with values too large for {a.dtype}")
        for matrix in (a, b):
            digest.update(f"{name} {tuple(matrix.shape)} ".encode())
            digest.update(matrix.float().numpy().tobytes())
        weights[name] = a.to(layer.weight.device), b.to(layer.weight.device)
    return LoraAdapter(weights, digest.digest())


def _read_config(folder: Path) -> dict[str, Any]:
    config = read_peft_config(folder)
    path = folder / "adapter_config.json"
    for entry, expected in (("peft_type", ("LORA",)), ("task_type", ("CAUSAL_LM", None))):
        if (value := config.get(entry)) not in expected:
            raise GroundupError(
                f"{path} has {entry} {value!r}: expected {expected[0]}, as only LoRA can differ "
                "from sequence to sequence; others can be merged into a model of their own"
            )
    check_lora(config, path, (), "low-rank matrices alone, without DoRA, biases, or modules and "
               "tokens trained as a whole; DoRA can be merged into a model of its own")  # fmt: skip
    return config


def _check_targets(config: dict[str, Any], names: list[str], path: Path) -> None:
    """The layers with weights are those that the configuration targets.

    Raises:
        GroundupError: one is not targeted, or a target has no weights.
    """
    wanted = config.get("target_modules")
    if isinstance(wanted, str):
        everywhere = wanted.lower() == "all-linear"
        untargeted = [
            n for n in names if not everywhere and not pattern_fits(wanted, f"model.{n}", path)
        ]
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
