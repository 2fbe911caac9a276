"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the pieces' ends, not their middles": ("(edges[:-1] + edges[1:]) / 2", "edges[1:] + 0"),
    "fractions from 0 on": ("torch.linspace(0.1, 1,", "torch.linspace(0, 1,"),
    "powers of two": ("power = 10.0 **", "power = 2.0 **"),
    "as many numbers in each decade": ("2 ** (exponent + 1) // 2 + 1", "19"),
    "the fewest bits for the largest power": (
        "10.0 ** (exponent - EXPONENTS + 1)",
        "10.0 ** -exponent",
    ),
    "a power too low": ("exponent - EXPONENTS + 1", "exponent - EXPONENTS"),
    "one is missing": ("torch.tensor([0.0, 1.0])", "torch.tensor([0.0, 0.0])"),
    "minus one for one": ("torch.tensor([0.0, 1.0])", "torch.tensor([0.0, -1.0])"),
    "positive numbers alone": ("power * fractions, -power", "power * fractions, 1e-9 + power"),
    "in the order in which they were made": (".sort().values", ""),
    "in float64": ("dtype=torch.float32", "dtype=torch.float64"),
}
