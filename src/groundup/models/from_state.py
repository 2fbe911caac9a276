"""A model around weights that exist already, without drawing random ones first."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from groundup.errors import GroundupError

__all__ = ["model_from_state"]

Model = TypeVar("Model", bound=nn.Module)


def model_from_state(make: Callable[[], Model], state: Mapping[str, Tensor], source: Path) -> Model:
    """The model that ``make`` makes, with these weights, which it takes over; in evaluation mode.

    A parameter that the model has under several names (tied embeddings) is one afterwards too; it
    may stand in ``state`` under any of them.

    Raises:
        GroundupError: weights are missing, unknown or of another shape; names ``source``.
    """
    with torch.device("meta"), _WithoutInitialValues():
        model = make()
    first_names: dict[nn.Parameter, str] = {}
    twins = {}  # a further name of a parameter: its first
    for name, parameter in model.named_parameters(remove_duplicate=False):
        if (first := first_names.setdefault(parameter, name)) != name:
            twins[name] = first
    whole = dict(state)
    for name, first in twins.items():
        if first not in whole and name in whole:
            whole[first] = whole[name]
    whole |= {name: whole[first] for name, first in twins.items() if first in whole}
    try:
        model.load_state_dict(whole, assign=True)
    except RuntimeError as error:  # torch lists the names on lines of their own
        what = " ".join(str(error).split())
        raise GroundupError(f"{source} does not hold a whole model: {what}") from None
    for name, first in twins.items():  # assigning made two parameters of one
        owner, _, leaf = name.rpartition(".")
        setattr(model.get_submodule(owner), leaf, model.get_parameter(first))
    return model.eval()


class _WithoutInitialValues(TorchFunctionMode):
    """Weights that come from a file are not drawn at random before.

    On the device "meta", drawing them would draw nothing, and import torch._dynamo: two seconds.
    """

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(func, "__module__", "") == nn.init.__name__:
            return kwargs["tensor"] if "tensor" in kwargs else args[0]
        return func(*args, **kwargs)
