"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "negative scores are divided too": ("scores * penalty)", "scores / penalty)"),
    "the penalty is subtracted": ("scores / penalty, scores * penalty", "scores - penalty, scores"),
    "a token is penalised as often as it occurred": (
        "    penalised[seen] = torch.where(scores > 0, scores / penalty, scores * penalty)",
        "    for i in previous:\n"
        "        penalised[i] *= 1 / penalty if penalised[i] > 0 else penalty",
    ),
    "the penalty is written into the input": ("penalised = logits.clone()", "penalised = logits"),
    "the penalty converts to float32": ("    return penalised\n", "    return penalised.float()\n"),
    "a penalty of zero is taken": ("if penalty <= 0:", "if penalty < 0:"),
    "nothing is penalised": ("penalised[seen] = torch.where", "_ = torch.where"),
    "k + 1 are kept": (".topk(min(k, ", ".topk(min(k + 1, "),
    "only k of several equals are kept": (
        "    lowest_kept = logits.topk(min(k, logits.shape[0])).values[-1]\n"
        '    return logits.masked_fill(logits < lowest_kept, float("-inf"))',
        "    kept = logits.topk(min(k, logits.shape[0])).indices\n"
        '    return torch.full_like(logits, float("-inf")).index_copy(0, kept, logits[kept])',
    ),
    "k above V is not foreseen": ("topk(min(k, logits.shape[0]))", "topk(k)"),
    "the rest is zero, not minus infinity": (
        'logits < lowest_kept, float("-inf")',
        "logits < lowest_kept, 0.0",
    ),
    "the filtered scores overwrite the input": (
        "logits.masked_fill(logits < lowest_kept",
        "logits.masked_fill_(logits < lowest_kept",
    ),
    "k of zero is taken as one": (
        '        raise ValueError(f"k must be at least 1, got {k}")',
        "        k = 1",
    ),
    "the token that crosses p is left out": ("int((mass < p).sum())", "int((mass < p).sum()) - 1"),
    "one token more than the nucleus": ("int((mass < p).sum())", "int((mass < p).sum()) + 1"),
    "the nucleus in the order of the ids": (
        "highest = probabilities.topk(min(candidates, logits.shape[0])).values",
        "highest = probabilities[:candidates]",
    ),
    "p=1 goes through the sum": ("if p == 1:", "if p > 1:"),
    "the nucleus is at most 256 tokens": ("if mass[-1] >= p:", "if True:"),
    "only the tokens above the last one kept": (
        "probabilities < highest[last]",
        "probabilities <= highest[last]",
    ),
    "probabilities in place of scores": (
        'return logits.masked_fill(probabilities < highest[last], float("-inf"))',
        'return probabilities.masked_fill(probabilities < highest[last], float("-inf"))',
    ),
    "the limits of top_p are not checked": ("if not 0 < p <= 1:", "if p > 2:"),
    "min_p against p itself": ("p * probabilities.max()", "p"),
    "min_p against the mean": ("p * probabilities.max()", "p * probabilities.mean()"),
    "min_p of the scores": (
        "probabilities < p * probabilities.max()",
        "logits < p * logits.max()",
    ),
    "min_p drops what is exactly p times as likely": (
        "probabilities < p * probabilities.max()",
        "probabilities <= p * probabilities.max()",
    ),
    "the limits of min_p are not checked": ("if not 0 <= p <= 1:", "if p > 2:"),
    "a number from the global generator": (
        "dtype=torch.float64, generator=generator",
        "dtype=torch.float64",
    ),
    "a float32 number": ("torch.rand(1, dtype=torch.float64, generator", "torch.rand(1, generator"),
    "the distribution in float32": ("logits.double().cpu()", "logits.float().cpu()"),
    "the most likely token": (
        "int(torch.searchsorted(mass, u * mass[-1], right=True).clamp(max=len(mass) - 1))",
        "int(logits.argmax())",
    ),
    "one token too low": ("right=True).clamp(max", "right=True).sub(1).clamp(0, max"),
    "always the first token": (
        "return int(torch.searchsorted",
        "return 0 * int(torch.searchsorted",
    ),
    "a tensor in place of a number": (
        "return int(torch.searchsorted",
        "return (torch.searchsorted",
    ),
}
