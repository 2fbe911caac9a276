"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

NORMAL = "rng.standard_normal(shape) * _deviation(shape, gain)"

MISTAKES: dict[str, tuple[str, str]] = {
    "fan_out": ("math.prod(shape[1:])", "math.prod(shape[:1] + shape[2:])"),
    "the last axis alone": ("math.prod(shape[1:])", "shape[-1]"),
    "without the window": ("math.prod(shape[1:])", "shape[1]"),
    "all weights": ("math.prod(shape[1:])", "math.prod(shape)"),
    "the mean of both fans": ("math.prod(shape[1:])", "(shape[0] + math.prod(shape[1:])) // 2"),
    "1 / fan_in": ("RELU_GAIN = math.sqrt(2)", "RELU_GAIN = 1.0"),
    "a gain of 2": ("RELU_GAIN = math.sqrt(2)", "RELU_GAIN = 2.0"),
    "no root of fan_in": ("gain / math.sqrt(fan_in(shape))", "gain / fan_in(shape)"),
    "the root of the gain": ("gain / math.sqrt(fan_in(shape))", "math.sqrt(gain / fan_in(shape))"),
    "the gain is forgotten": (
        "gain / math.sqrt(fan_in(shape))",
        "RELU_GAIN / math.sqrt(fan_in(shape))",
    ),
    "the bound is the deviation": ("bound = math.sqrt(3) *", "bound = 1.0 *"),
    "the bound of variance 1 / 12": ("bound = math.sqrt(3) *", "bound = math.sqrt(12) *"),
    "only positive weights": ("rng.uniform(-bound, bound, shape)", "rng.uniform(0, bound, shape)"),
    "uniform instead of normal": (
        NORMAL,
        "rng.uniform(-1.7320508, 1.7320508, shape) * _deviation(shape, gain)",
    ),
    "normal instead of uniform": (
        "rng.uniform(-bound, bound, shape)",
        "(rng.standard_normal(shape) * bound / 1.7320508)",
    ),
    "truncated at two deviations": (
        NORMAL,
        f"({NORMAL}).clip(-2 * _deviation(shape, gain), 2 * _deviation(shape, gain))",
    ),
    "absolute values": (NORMAL, f"abs({NORMAL})"),
    "zeros": (NORMAL, f"0 * {NORMAL}"),
    "each row alike": (
        NORMAL,
        "rng.standard_normal(shape[1:]) * _deviation(shape, gain) + np.zeros(shape)",
    ),
    "a generator of its own": (NORMAL, NORMAL.replace("rng.", "np.random.default_rng(0).")),
    "float64": (f"({NORMAL}).astype(np.float32)", NORMAL),
    "a single axis is taken": ("len(shape) < 2 or min(shape) < 1", "min(shape, default=0) < 1"),
    "an axis of 0 is taken": ("len(shape) < 2 or min(shape) < 1", "len(shape) < 2"),
    "a gain of NaN is taken": ("if not gain > 0:", "if gain <= 0:"),
    "a gain of 0 is taken": ("if not gain > 0:", "if not gain >= 0:"),
}
