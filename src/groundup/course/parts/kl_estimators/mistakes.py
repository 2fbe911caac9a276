"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the divergence the other way round": ("    return log_p - log_q", "    return log_q - log_p"),
    "k1 weighs by p, as if it were a sum over outcomes": (
        "    return log_p - log_q", "    return log_p.exp() * (log_p - log_q)"
    ),
    "k1 is made positive": ("    return log_p - log_q", "    return (log_p - log_q).abs()"),
    "k2 without its half": (".square() / 2", ".square()"),
    "k2 is the distance": (".square() / 2", ".abs() / 2"),
    "k3 with the ratio upside down": ("log_ratio = log_q - log_p", "log_ratio = log_p - log_q"),
    "k3 without the 1": ("log_ratio.expm1() -", "log_ratio.exp() -"),
    "k3 adds the logarithm": ("expm1() - log_ratio", "expm1() + log_ratio"),
    "k3 is the ratio alone": ("log_ratio.expm1() - log_ratio", "log_ratio.expm1()"),
    "k3 loses its digits near 0": (
        "log_ratio.expm1() - log_ratio",
        "((log_ratio.exp() - 1).float() - log_ratio.float()).to(log_ratio.dtype)",
    ),
    "k3 holds the ratio, so that no gradient goes into it": (
        "log_ratio.expm1() - log_ratio", "log_ratio.expm1().detach() - log_ratio"
    ),
    "k3 is clamped": ("log_ratio.expm1()", "log_ratio.clamp(-1, 1).expm1()"),
    "the input is changed": (
        "    log_ratio = log_q - log_p", "    log_ratio = log_q.sub_(log_p)"
    ),
}  # fmt: skip
