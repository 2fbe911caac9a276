"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the reference is forgotten": ("beta * (policy - reference)", "beta * policy"),
    "the log ratio is upside down": ("beta * (policy - reference)", "beta * (reference - policy)"),
    "a ratio of logarithms": ("beta * (policy - reference)", "beta * policy / reference"),
    "beta is not used": ("return beta * (policy - reference)", "return policy - reference"),
    "the answers are swapped": ("F.logsigmoid(margin) -", "F.logsigmoid(-margin) -"),
    "the sign is forgotten": ("losses = -(1 - wrong)", "losses = (1 - wrong)"),
    "probabilities in the place of their logarithms": (
        "F.logsigmoid(margin) -", "F.logsigmoid(margin).exp() -"
    ),
    "a sigmoid, then a logarithm": ("F.logsigmoid(margin) -", "margin.sigmoid().log() -"),
    "the sum over the pairs": ("    return losses.mean()", "    return losses.sum()"),
    "smoothing of both labels alike": ("- wrong * F", "- (1 - wrong) * F"),
    "smoothing takes from the right label alone": (" - wrong * F.logsigmoid(-margin)", ""),
    "smoothing adds to the wrong label alone": ("-(1 - wrong) * F", "-F"),
    "robust DPO in the place of conservative": (
        "return losses.mean()",
        "return (-(1 - wrong) * F.logsigmoid(margin) + wrong * F.logsigmoid(-margin)).mean()"
        " / (1 - 2 * wrong)",
    ),
    "no gradient through the rejected": (
        "        rejected, reference_rejected, beta=beta",
        "        rejected.detach(), reference_rejected, beta=beta",
    ),
    "half of the labels may be wrong": (
        "if not 0 <= label_smoothing < 0.5:", "if not 0 <= label_smoothing <= 0.5:"
    ),
    "IPO's target is beta": (
        "return (difference - 1 / (2 * beta))", "return (difference - beta)"
    ),
    "IPO's target has no 2": (
        "return (difference - 1 / (2 * beta))", "return (difference - 1 / beta)"
    ),
    "IPO without a reference": (
        "difference = (chosen - reference_chosen) - (rejected - reference_rejected)\n    return",
        "difference = chosen - rejected\n    return",
    ),
    "IPO adds the ratios": (
        "(chosen - reference_chosen) - (rejected - reference_rejected)\n    return",
        "(chosen - reference_chosen) + (rejected - reference_rejected)\n    return",
    ),
    "IPO takes the distance, not its square": (
        ").square().mean()", ").abs().mean()"
    ),
}  # fmt: skip
