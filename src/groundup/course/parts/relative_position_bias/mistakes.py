"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

DISTANCE = "positions[None, :] - positions[keys - queries :, None]"

MISTAKES: dict[str, tuple[str, str]] = {
    "the query's position less the key's": (DISTANCE, f"-({DISTANCE})"),
    "T queries taken for the first positions": (
        "positions[keys - queries :, None]",
        "positions[:queries, None]",
    ),
    "both directions share their buckets": ("bucket + n * (distance > 0)", "bucket"),
    "the distance 0 counts as after": ("(distance > 0)", "(distance >= 0)"),
    "the halves exchanged": ("(distance > 0)", "(distance < 0)"),
    "all buckets for each direction": (
        "n = buckets // 2 if bidirectional else buckets",
        "n = buckets",
    ),
    "a decoder looks ahead": ("(-distance).clamp(min=0)", "distance.clamp(min=0)"),
    "a decoder measures both ways": ("(-distance).clamp(min=0)", "distance.abs()"),
    "half as many exact buckets": ("exact = n // 2\n    away", "exact = n // 4\n    away"),
    "linear instead of logarithmic": (
        "torch.log(away.float() / exact) / math.log(max_distance / exact)",
        "(away.float() - exact) / (max_distance - exact)",
    ),
    "far distances are not limited": ("far.clamp(max=n - 1)", "far"),
    "far distances start anew": ("far = exact + (ratio", "far = (ratio"),
    "rounded instead of cut": ("(n - exact)).long()", "(n - exact)).round().long()"),
    "max_distance is not used": ("math.log(max_distance / exact)", "math.log(128 / exact)"),
    "the last exact distance is a logarithm": ("away < exact, away", "away < exact - 1, away"),
    "heads and positions exchanged": ("bias.permute(2, 0, 1)[None]", "bias.permute(2, 1, 0)[None]"),
    "no axis for the batch": ("bias.permute(2, 0, 1)[None]", "bias.permute(2, 0, 1)"),
    "no gradient": (
        "bias: Tensor = self.embedding(bucket)",
        "bias: Tensor = self.embedding(bucket).detach()",
    ),
    "always as an encoder": ("bidirectional=self.bidirectional,", "bidirectional=True,"),
    "the buckets of the default": ("            buckets=self.buckets,\n", ""),
    "the heads are not checked": ("if heads <= 0:", "if False:"),
    "the buckets are not checked": (
        "if buckets < 4 or (bidirectional and buckets % 2):",
        "if False:",
    ),
    "max_distance is not checked": ("if max_distance <= exact:", "if False:"),
}
