"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the series from 1 on": ("    while x < 6:\n", "    while x < 1:\n"),
    "the recurrence adds": ("value -= 1 / x", "value += 1 / x"),
    "half of 1/x is missing": (" - 1 / (2 * x) - series", " - series"),
    "the logarithm alone": (
        "return value + math.log(x) - 1 / (2 * x) - series",
        "return math.log(x)",
    ),
    "words count once": (
        "expected[word[start:end]] += count * share",
        "expected[word[start:end]] += share",
    ),
    "the likelihood counts words once": (
        "likelihood += count * forward[-1]",
        "likelihood += forward[-1]",
    ),
    "shares are not divided by the word's probability": (
        "math.exp(forward[start] + score - forward[-1])",
        "math.exp(forward[start] + score)",
    ),
    "the way to the token is left out": (
        "math.exp(forward[start] + score - forward[-1])",
        "math.exp(score - forward[-1])",
    ),
    "the way from the token is left out": (
        "score = scores[word[start:end]] + backward[end]",
        "score = scores[word[start:end]]",
    ),
    "backward in the order of forward": ("in reversed(edges):", "in edges:"),
    "the best way in place of all": (
        "return a if b == -math.inf else a + math.log1p(math.exp(b - a))",
        "return a",
    ),
    "sums that are not in logarithms": (
        "return a if b == -math.inf else a + math.log1p(math.exp(b - a))",
        "return math.log(math.exp(a) + math.exp(b))",
    ),
    "tokens are one shorter than they may be": (
        "min(start + longest, len(word)) + 1)\n        if",
        "min(start + longest - 1, len(word)) + 1)\n        if",
    ),
    "rare characters go": ("if count >= least or len(token) == 1", "if count >= least"),
    "a character may have no count": ("token: max(count, least)", "token: max(count, 1e-300)"),
    "rare tokens stay": ("if count >= least or len(token) == 1", "if count > 0 or len(token) == 1"),
    "always the usual least": ("if count >= least or", "if count >= 0.5 or"),
    "the sum of all counts": ("digamma(sum(kept.values()))", "digamma(sum(expected.values()))"),
    "logarithms in place of digamma": (
        "return {token: digamma(count) - total for",
        "return {token: math.log(count) - total for",
    ),
    "a token is its own next best": (
        "_best(token, scores, len(token) - 1)",
        "_best(token, scores, len(token))",
    ),
    "single characters have losses": ("        if len(token) == 1:\n            continue\n", ""),
    "unused tokens have no loss": (
        "        losses[token] = 0.0\n",
        "",
    ),
    "the count is left out of the loss": ("losses[token] = c * loss", "losses[token] = loss"),
    "the parts do not take over the count": (
        "math.log(counts[p] + c) - rest",
        "math.log(counts[p] + 1e-9) - rest",
    ),
    "the number of tokens does not change": (
        "rest = math.log(total + (len(parts) - 1) * c)",
        "rest = math.log(total)",
    ),
    "words count once in the losses": (
        "            counts[part] += count\n",
        "            counts[part] += 1\n",
    ),
    "the most useful tokens go": ("key=lambda t: -losses[t]", "key=lambda t: losses[t]"),
    "the likeliest tokens go at the end": (
        "(len(token) > 1, -scores[token])",
        "(len(token) > 1, scores[token])",
    ),
    "characters compete at the end": ("(len(token) > 1, -scores[token])", "-scores[token]"),
    "everything is pruned at once": (
        "room = max(wanted, len(scores) * 3 // 4) - len(single)",
        "room = 0",
    ),
    "one token too few": ("for token in ranked[:size]}", "for token in ranked[: size - 1]}"),
}
