"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "a one-sided difference": (
        "        moved[index] = x[index] - step\n        below",
        "        moved[index] = x[index]\n        below",
    ),
    "one-sided, divided by one step": (
        "        moved[index] = x[index] - step\n        below = function(moved)\n"
        "        moved[index] = x[index]\n        gradient[index] = (above - below) / (2 * step)",
        "        moved[index] = x[index]\n        below = function(moved)\n"
        "        gradient[index] = (above - below) / step",
    ),
    "divided by one step": ("(above - below) / (2 * step)", "(above - below) / step"),
    "the sign": ("(above - below)", "(below - above)"),
    "elements stay moved": (
        "        moved[index] = x[index]\n        gradient",
        "        gradient",
    ),
    "all elements moved at once": ("moved[index] = x[index] + step", "moved[...] = x + step"),
    "x itself is moved": ("moved = x.copy()", "moved = x"),
    "the step relative to the element": (
        "moved[index] = x[index] + step",
        "moved[index] = x[index] * (1 + step)",
    ),
    "the step is fixed": ("above = function(moved)", "above = function(moved); step = 1e-5"),
    "zeros": ("gradient[index] = (above - below) / (2 * step)", "gradient[index] = 0.0"),
    "float32 is taken": ("if x.dtype != np.float64:", "if False:"),
    "a step of zero is taken": ("if not step > 0:", "if False:"),
    "the absolute error": ("/ total)", "/ 1.0)"),
    "relative to one norm": (
        "total = np.linalg.norm(analytic) + np.linalg.norm(numerical)",
        "total = np.linalg.norm(numerical)",
    ),
    "relative to the larger norm": (
        "total = np.linalg.norm(analytic) + np.linalg.norm(numerical)",
        "total = max(np.linalg.norm(analytic), np.linalg.norm(numerical))",
    ),
    "the largest element instead of the norm": (
        "np.linalg.norm(analytic - numerical) / total",
        "abs(analytic - numerical).max() / total",
    ),
    "norms are compared, not gradients": (
        "np.linalg.norm(analytic - numerical)",
        "abs(np.linalg.norm(analytic) - np.linalg.norm(numerical))",
    ),
    "the smallest error counts": ("return max(errors)", "return min(errors[1:], default=0.0)"),
    "the last error counts": ("return max(errors)", "return errors[-1]"),
    "the mean error counts": ("return max(errors)", "return sum(errors) / len(errors)"),
    "NaN is no error": (
        'error if error == error else float("inf")',
        "error if error == error else 0.0",
    ),
    "always the first input is moved": ("if i == position", "if i == 0"),
    "both zero divides by zero": ("if total != 0:", "if True:"),
    "a gradient that is missing is skipped": (
        "np.zeros_like(x) if found is None else found",
        "numerical if found is None or not found.any() else found",
    ),
}
