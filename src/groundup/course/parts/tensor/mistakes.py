"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

ADD_UP = "own = np.asarray(gradients[id(source)] + own)"
BASIC = "            if _is_basic(index):\n                whole[index] = g\n"

MISTAKES: dict[str, tuple[str, str]] = {
    "the last use of a tensor wins": (ADD_UP, "pass"),
    "leaves forget earlier calls": (
        "g if tensor.grad is None else np.asarray(tensor.grad + g)",
        "g",
    ),
    "gradients added in place": (
        "np.asarray(tensor.grad + g)",
        "np.add(tensor.grad, g, out=g)[:1]",
    ),
    "depth first, without waiting for all uses": (
        "        elif id(tensor) not in seen:\n            seen.add(id(tensor))\n",
        "        else:\n",
    ),
    "inputs after what uses them": (
        "    return order\n",
        "    return order[:-1][::-1] + order[-1:]\n",
    ),
    "an order by recursion": (
        "    order: list[Tensor] = []\n    seen: set[int] = set()\n",
        "    order: list[Tensor] = []\n    seen: set[int] = set()\n\n"
        "    def visit(tensor: Tensor) -> None:\n"
        "        if id(tensor) not in seen:\n"
        "            seen.add(id(tensor))\n"
        "            for source in tensor.inputs:\n"
        "                if source.requires_grad:\n"
        "                    visit(source)\n"
        "            order.append(tensor)\n\n"
        "    visit(last)\n    return order\n",
    ),
    "constants are walked too": (
        "for source in tensor.inputs if source.requires_grad)",
        "for source in tensor.inputs)",
    ),
    "no sum over axes that were added": ("if added:", "if added > 1:"),
    "no sum over axes of length 1": (
        "if size == 1 != gradient.shape[i])",
        "if size == 2 != gradient.shape[i])",
    ),
    "a mean over repetitions": (
        "gradient.sum(axis=repeated, keepdims=True)",
        "gradient.mean(axis=repeated, keepdims=True)",
    ),
    "summed axes are lost": (
        "gradient.sum(axis=repeated, keepdims=True)",
        "gradient.sum(axis=repeated)",
    ),
    "x * y: the factors exchanged": (
        "g * y.data if x.requires_grad",
        "g * x.data if x.requires_grad",
    ),
    "x / y: the sign": ("-ratio * (x.data / y.data)", "ratio * (x.data / y.data)"),
    "x / y: not squared": ("-ratio * (x.data / y.data)", "-ratio * x.data"),
    "x - y: no sign for y": ("lambda g: (g, -g))", "lambda g: (g, g))"),
    "number - x is x - number": (
        "return self._operand(other) - self",
        "return self - self._operand(other)",
    ),
    "number / x is x / number": (
        "return self._operand(other) / self",
        "return self / self._operand(other)",
    ),
    "array @ x is x @ array": (
        "return self._operand(other) @ self",
        "return self @ self._operand(other)",
    ),
    "arrays treat a tensor as an object": (
        "    __array_ufunc__ = None",
        "    __array_ufunc_ = None",
    ),
    "numbers widen float32": (
        "np.asarray(other, self.dtype) if np.isscalar(other) else other",
        "np.asarray(other, float)",
    ),
    "power: the exponent stays": ("x ** (exponent - 1)", "x**exponent"),
    "power: no factor": ("exponent * x ** (exponent - 1)", "x ** (exponent - 1)"),
    "power 0 gives NaN": (" if exponent else np.zeros_like(g)", ""),
    "x @ y: not transposed": ("g @ right.swapaxes(-1, -2)", "g @ right"),
    "x @ y: stacks transposed with the matrices": ("left.swapaxes(-1, -2) @ g", "left.T @ g"),
    "x @ y: the order": ("left.swapaxes(-1, -2) @ g", "(g.swapaxes(-1, -2) @ left)"),
    "x @ y: vectors forgotten": (
        "if y.ndim == 1:\n                g = g[..., None]",
        "if False:\n                g = g[..., None]",
    ),
    "an element named twice gets one gradient": ("np.add.at(whole, index, g)", "whole[index] = g"),
    "indexing by += ": ("np.add.at(whole, index, g)", "whole[index] += g"),
    "the sum's gradient is not spread": ("(np.broadcast_to(g, x.shape),)", "(g,)"),
    "the sum's gradient is divided": (
        "(np.broadcast_to(g, x.shape),)",
        "(np.broadcast_to(g, x.shape) * g.size / x.size,)",
    ),
    "the summed axis is not put back": ("g = np.expand_dims(g, axis)", "pass"),
    "transpose: the same permutation backwards": (
        "g.transpose(np.argsort(order))",
        "g.transpose(order)",
    ),
    "transpose copies": (
        "self.data.transpose(order), (self,)",
        "self.data.transpose(order).copy(), (self,)",
    ),
    "reshape: the gradient keeps its shape": ("(g.reshape(before),)", "(g,)"),
    "detach copies": ("return Tensor(self.data)", "return Tensor(self.data.copy())"),
    "detach keeps requires_grad forgotten: data is copied at the start": (
        "self.data: Array = array",
        "self.data: Array = array.copy()",
    ),
    "lists become float64": ("array = array.astype(np.float32)", "array = array.astype(float)"),
    "leaves share a gradient": (
        "elif source.backward_function is None and (own is g or not _owns(own)):",
        "elif False:",
    ),
    "the gradient that was given is kept": (
        "np.array(gradient, dtype=self.dtype)",
        "np.asarray(gradient, dtype=self.dtype)",
    ),
    "no_grad stays off after an error": (
        "    try:\n        yield\n    finally:\n        _recording.reset(token)",
        "    yield\n    _recording.reset(token)",
    ),
    "no_grad ends for the outer block too": ("_recording.reset(token)", "_recording.set(True)"),
    "no_grad does nothing": ("_recording.set(False)", "_recording.set(True)"),
    "everything is recorded": (
        "if _recording.get() and any(tensor.requires_grad for tensor in inputs):",
        "if _recording.get():",
    ),
    "recorded only where all inputs require it": (
        "any(tensor.requires_grad",
        "all(tensor.requires_grad",
    ),
    "the graph is never let go of": (
        "tensor.inputs, tensor.backward_function = (), _released",
        "pass",
    ),
    "a second backward passes in silence": (
        "tensor.inputs, tensor.backward_function = (), _released",
        "tensor.inputs, tensor.backward_function = (), lambda g: ()",
    ),
    "inner gradients are always kept": (
        "            if keep:\n",
        "            tensor.grad = g.copy()\n            if keep:\n",
    ),
    "keep adds up inner gradients": (
        "tensor.grad = g.copy()",
        "tensor.grad = g.copy() if tensor.grad is None else tensor.grad + g",
    ),
    "gradients without axes are numbers": (
        "own = np.asarray(unbroadcast(share, source.shape), source.dtype)",
        "own = unbroadcast(share, source.shape).astype(source.dtype)",
    ),
    "gradients keep the wider dtype": (
        "np.asarray(unbroadcast(share, source.shape), source.dtype)",
        "np.asarray(unbroadcast(share, source.shape))",
    ),
    "a gradient that broadcasts is taken": (
        "if start.shape != self.shape:",
        "if start.size > self.data.size:",
    ),
    "several numbers start with ones": ("if self.data.size != 1:", "if False:"),
    "a tensor without gradient is walked": ("if not self.requires_grad:", "if False:"),
    "texts are taken": ('if array.dtype.kind not in "fiub":', "if False:"),
}
