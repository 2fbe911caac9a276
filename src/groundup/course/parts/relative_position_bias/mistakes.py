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
    "linear instead of logarithmic": (
        "torch.log(away.float() / exact) / math.log(max_distance / exact)",
        "(away.float() - exact) / (max_distance - exact)",
    ),
    "far distances are not limited": ("far.clamp(max=n - 1)", "far"),
    "rounded instead of cut": ("(n - exact)).long()", "(n - exact)).round().long()"),
    "max_distance is not used": ("math.log(max_distance / exact)", "math.log(128 / exact)"),
    "heads and positions exchanged": ("bias.permute(2, 0, 1)[None]", "bias.permute(2, 1, 0)[None]"),
    "no gradient": (
        "bias: Tensor = self.embedding(bucket)",
        "bias: Tensor = self.embedding(bucket).detach()",
    ),
    "always as an encoder": ("bidirectional=self.bidirectional,", "bidirectional=True,"),
    "the buckets are not checked": (
        "if buckets < 4 or (bidirectional and buckets % 2):",
        "if False:",
    ),
}
