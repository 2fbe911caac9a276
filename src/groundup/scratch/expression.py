"""A formula's text, computed with tensors. Nothing else in it is run."""

import ast
import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from groundup.errors import GroundupError
from groundup.scratch import elementwise
from groundup.scratch.reductions import mean
from groundup.scratch.softmax import log_softmax, softmax
from groundup.scratch.tensor import Tensor

__all__ = ["evaluate"]

OPERATORS: dict[type[ast.operator], Callable[[Any, Any], Any]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.MatMult: operator.matmul,
}
FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    **{name: getattr(elementwise, name) for name in elementwise.__all__},
    "log_softmax": log_softmax,
    "mean": mean,
    "softmax": softmax,
    "sum": Tensor.sum,
}


def evaluate(text: str, values: Mapping[str, Tensor]) -> Tensor:
    """The value of a formula of names, numbers, + - * / @ **, brackets and functions.

    Args:
        text: such as ``tanh(w * x + b) ** 2``.
        values: the tensors that its names stand for.

    Raises:
        GroundupError: it is no formula, or has a name or a function that is not known, or shapes
            that do not fit.
    """
    try:
        tree = ast.parse(text.strip(), mode="eval")
        with np.errstate(all="ignore"):
            result = _value(tree.body, values)
    except GroundupError:
        raise
    except SyntaxError as error:
        raise GroundupError(f"{text!r} is not a formula: {error.msg}") from None
    except (ValueError, RecursionError, OverflowError, ZeroDivisionError) as error:
        raise GroundupError(f"{text!r} cannot be computed: {error}") from None
    return result if isinstance(result, Tensor) else Tensor(np.float64(result))


def _value(node: ast.expr, values: Mapping[str, Tensor]) -> Any:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return float(number)
        case ast.Name(id=name) if name in values:
            return values[name]
        case ast.Name(id=name):
            raise GroundupError(f"{name} has no value: add {name}=1.0 to the command")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, values)
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            exponent = _value(right, values)
            if isinstance(exponent, Tensor):
                raise GroundupError("an exponent has to be a number: x ** 2, not x ** y")
            return _value(left, values) ** exponent
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            return OPERATORS[type(op)](_value(left, values), _value(right, values))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in FUNCTIONS:
            inner = _value(argument, values)
            return FUNCTIONS[name](
                inner if isinstance(inner, Tensor) else Tensor(np.float64(inner))
            )
    raise GroundupError(
        f"{ast.unparse(node)!r} is not known here: a formula has names, numbers, + - * / @ **, "
        f"brackets, and the functions {', '.join(sorted(FUNCTIONS))}"
    )
