"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

WINDOWS = "sliding_window_view(x, (h, w), axis=(2, 3))[:, :, ::stride, ::stride]"

MISTAKES: dict[str, tuple[str, str]] = {
    "the filter is turned round": (
        "filters = weight.data.reshape(F, -1)",
        "filters = weight.data[:, :, ::-1, ::-1].reshape(F, -1)",
    ),
    "rows and columns of the window exchanged": (
        "windows.transpose(0, 1, 4, 5, 2, 3)",
        "windows.transpose(0, 1, 5, 4, 2, 3)",
    ),
    "rows and columns of the image exchanged": (
        "windows.transpose(0, 1, 4, 5, 2, 3)",
        "windows.transpose(0, 1, 4, 5, 3, 2)",
    ),
    "channels and window exchanged": (
        "windows.transpose(0, 1, 4, 5, 2, 3)",
        "windows.transpose(0, 4, 5, 1, 2, 3)",
    ),
    "no padding": ("    if padding:\n", "    if False:\n"),
    "the image at the corner of the padding": (
        "padded[:, :, padding : padding + H, padding : padding + W] = x",
        "padded[:, :, :H, :W] = x",
    ),
    "a padding of ones": ("padded = np.zeros(", "padded = np.ones("),
    "stride in one direction": (WINDOWS, WINDOWS.replace("::stride, ::stride", "::stride")),
    "no bias": ("y += bias.data[:, None]", "pass"),
    "dx: what overlaps is overwritten": (
        "j : j + windows.shape[5] * stride : stride] += (",
        "j : j + windows.shape[5] * stride : stride] = (",
    ),
    "dx: the padding is not cut off": (
        "    return x[:, :, padding : padding + H, padding : padding + W]",
        "    return x[:, :, :H, :W]",
    ),
    "dx: the stride is forgotten": (
        "i : i + rows * stride : stride, j : j",
        "i : i + rows, j : j",
    ),
    "dx: the filters are not transposed": (
        "_images(filters.T @ g,",
        "_images(filters.reshape(filters.shape[::-1]) @ g,",
    ),
    "no dx": ("dx = _images(filters.T @ g, x.shape, h, w, stride, padding)", "pass"),
    "dx is always computed": ("if x.requires_grad:", "if True:"),
    "dweight of the first image": (
        "(g @ columns.swapaxes(1, 2)).sum(axis=0)",
        "(g @ columns.swapaxes(1, 2))[0]",
    ),
    "dweight is a mean": (
        "(g @ columns.swapaxes(1, 2)).sum(axis=0)",
        "(g @ columns.swapaxes(1, 2)).mean(axis=0)",
    ),
    "dbias over the images alone": ("g.sum(axis=(0, 2))", "g.sum(axis=0)[:, 0]"),
    "dbias is a mean": ("g.sum(axis=(0, 2))", "g.mean(axis=(0, 2))"),
    "float64 whatever comes in": (
        "y: Array = filters @ columns",
        "y: Array = filters.astype(float) @ columns",
    ),
    "the image is changed": (
        "    filters = weight",
        "    x.data[...] = x.data.round(3)\n    filters = weight",
    ),
    "a bias of one element is broadcast": ("bias.shape != (F,)", "False"),
    "the layer forgets its stride": (
        "stride=self.stride, padding=self.padding",
        "padding=self.padding",
    ),
    "the layer forgets its padding": (
        "stride=self.stride, padding=self.padding",
        "stride=self.stride",
    ),
    "the layer's bias starts at ones": (
        "np.zeros(filters, np.float32)",
        "np.ones(filters, np.float32)",
    ),
}
