"""Layers, and networks made of them."""

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from groundup.errors import GroundupError
from groundup.scratch.tensor import Array, Tensor

__all__ = ["Module", "Sequential"]


class Module:
    """Something with weights that can be called.

    Its parameters are the tensors among its attributes, and those of the modules among them (also
    in lists), under dotted names such as ``layers.0.weight``. Arrays among the attributes, such as
    a batch norm's running mean, are not trained, and are stored with the parameters.
    """

    training = True

    def __call__(self, x: Tensor) -> Tensor:
        raise NotImplementedError

    def train(self, training: bool = True) -> None:
        """Let dropout drop and batch norm look at the batch; or with False, not."""
        for _, module in self._modules():
            module.training = training

    def parameters(self) -> list[Tensor]:
        """All that is trained."""
        return [value for value in self._named().values() if isinstance(value, Tensor)]

    def state(self) -> dict[str, Array]:
        """Parameters and running values by name. The arrays are the module's own, not copies."""
        return {
            name: value.data if isinstance(value, Tensor) else value
            for name, value in self._named().items()
        }

    def load_state(self, state: Mapping[str, Array]) -> None:
        """Take over the values of another module's ``state``.

        Raises:
            GroundupError: a name is missing, unknown, or of another shape. Nothing is changed then.
        """
        own = self.state()
        for name in sorted(own.keys() | state.keys()):
            here, there = (
                f"shape {arrays[name].shape}" if name in arrays else "none"
                for arrays in (own, state)
            )
            if here != there:
                raise GroundupError(
                    f"these are the weights of another network: {name} has {there}, expected {here}"
                )
        for name, value in own.items():
            value[...] = state[name]

    def _named(self) -> dict[str, Tensor | Array]:
        return {
            f"{prefix}{name}": value
            for prefix, module in self._modules()
            for name, value in vars(module).items()
            if isinstance(value, (Tensor, np.ndarray))
        }

    def _modules(self, prefix: str = "") -> "Iterator[tuple[str, Module]]":
        yield prefix, self
        for name, value in vars(self).items():
            inner: dict[str, Any] = {name: value}
            if isinstance(value, (list, tuple)):
                inner = {f"{name}.{index}": element for index, element in enumerate(value)}
            for path, element in inner.items():
                if isinstance(element, Module):
                    yield from element._modules(f"{prefix}{path}.")


class Sequential(Module):
    """Layers and functions, one after the other."""

    def __init__(self, *layers: Any) -> None:
        self.layers = layers

    def __call__(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = layer(x)
        return x
