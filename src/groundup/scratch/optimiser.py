"""What optimisers have in common."""

from collections.abc import Sequence

import numpy as np

from groundup.errors import GroundupError
from groundup.scratch.tensor import Array, Tensor

__all__ = ["Optimiser"]


class Optimiser:
    """Changes parameters by their gradients, a step at a time.

    A subclass names in ``kept`` the running values that it needs for each parameter, and writes
    ``update``.
    """

    kept: tuple[str, ...] = ()

    def __init__(self, parameters: Sequence[Tensor], learning_rate: float) -> None:
        """Begin with running values of zeros.

        The attributes: ``parameters``; ``learning_rate``, which a schedule may change between
        steps; ``steps``, how many were made.

        Raises:
            ValueError: there are no parameters, or the learning rate is negative.
        """
        self.parameters = list(parameters)
        if not self.parameters:
            raise ValueError("there are no parameters to optimise")
        if not learning_rate >= 0:
            raise ValueError(f"the learning rate must not be negative, got {learning_rate}")
        self.learning_rate = learning_rate
        self.steps = 0
        self._running = [
            tuple(np.zeros_like(parameter.data) for _ in self.kept) for parameter in self.parameters
        ]

    def zero_grad(self) -> None:
        """Forget the gradients, before the next ``backward`` adds to them."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Update every parameter that has a gradient."""
        self.steps += 1
        for parameter, running in zip(self.parameters, self._running, strict=True):
            if parameter.grad is not None:
                self.update(parameter.data, parameter.grad, *running)

    def update(self, data: Array, gradient: Array, *running: Array) -> None:
        """Change ``data`` and the running values in place; the gradient stays as it is."""
        raise NotImplementedError

    def state(self) -> dict[str, Array]:
        """The running values by name, and the number of steps. Not copies."""
        named = {
            f"{index}.{name}": array
            for index, running in enumerate(self._running)
            for name, array in zip(self.kept, running, strict=True)
        }
        return named | {"steps": np.array(self.steps)}

    def load_state(self, state: dict[str, Array]) -> None:
        """Go on where another optimiser of the same kind, with the same parameters, was.

        Raises:
            GroundupError: the state is of another kind, or of other parameters.
        """
        own = self.state()
        if own.keys() != state.keys() or any(own[n].shape != state[n].shape for n in own):
            raise GroundupError("this is the state of another optimiser, or of another network")
        for name, array in own.items():
            array[...] = state[name]
        self.steps = int(state["steps"])
