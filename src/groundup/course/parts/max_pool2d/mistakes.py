"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the stride is not used": ("size if stride is None else stride", "size"),
    "a stride of 1 where none is given": ("size if stride is None else stride", "stride or 1"),
    "the smallest value": ("np.maximum(y, x.data[place], out=y)",
                           "np.minimum(y, x.data[place], out=y)"),
    "the sum of the values": ("np.maximum(y, x.data[place], out=y)",
                              "np.add(y, x.data[place], out=y)"),
    "compared with zero": ("x.data[places[0]].copy()", "np.zeros_like(x.data[places[0]])"),
    "the image is changed": ("x.data[places[0]].copy()", "x.data[places[0]]"),
    "the first column alone": ("for j in range(size)", "for j in range(1)"),
    "equal values all get the gradient": ("(x.data[place] == y) & left", "x.data[place] == y"),
    "of equal values the last gets the gradient": (
        "for place in places:\n            here",
        "for place in places[::-1]:\n            here",
    ),
    "by columns": (
        "for i in range(size)\n        for j in range(size)",
        "for j in range(size)\n        for i in range(size)",
    ),
    "windows that overlap overwrite": ("dx[place] += g * here", "dx[place] = g * here"),
    "a share for each": ("dx[place] += g * here", "dx[place] += g * here / size"),
    "one window too many": ("(length - size) // stride + 1", "-(-(length - size) // stride) + 1"),
    "one window too few": ("(length - size) // stride + 1", "length // (size + stride - 1)"),
    "sizes are not checked": ("or size > min(x.shape[2:])", ""),
    "a stride of zero": ("size < 1 or stride < 1", "size < 1"),
}  # fmt: skip
