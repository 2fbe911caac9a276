"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "a token predicts itself": ("text[end + 1 - new : end + 1]", "text[end - new : end]"),
    "outputs in the wrong order": ("outputs=new)[0]", "outputs=new)[0].flip(0)"),
    "the first outputs instead of the last": (
        "model.hidden(text[None, start:end], outputs=new)[0]",
        "model.hidden(text[None, start:end])[0, :new]",
    ),
    "windows that are one too short": ("min(start + context, ", "min(start + context - 1, "),
    "the last token is not predicted": (
        "end = min(start + context, tokens - 1)", "end = min(start + context, max(1, tokens - 2))",
    ),
    "tokens of the overlap count again": ("end - counted))", "end - start))"),
    "windows as far apart as they are long": (
        "range(0, tokens, stride)", "range(0, tokens, context)",
    ),
    "windows behind the end": ("        if end == tokens - 1:\n            break\n", ""),
    "the mean of each piece": (".double().sum().item()", ".double().mean().item()"),
    "divided by all tokens": (
        "return self.nats / self.tokens", "return self.nats / (self.tokens + 1)",
    ),
    "the perplexity of base 2": ("math.exp(self.loss)", "2**self.loss"),
    "nats a byte": ("self.nats / math.log(2) / size", "self.nats / size"),
    "bits a token": ("/ math.log(2) / size", "/ math.log(2) / self.tokens"),
    "past any float": (" if self.loss < 700 else math.inf", ""),
    "probabilities, and their logarithm": (
        'F.cross_entropy(logits, wanted, reduction="none")',
        "-logits.exp().div(logits.exp().sum(-1, keepdim=True)).gather(1, wanted[:, None]).log()",
    ),
    "NaN is let through": ("if not math.isfinite(nats)", "if math.isinf(nats)"),
    "a window that the model cannot read": ("if context > room", "if context < 1"),
    "a negative stride": ("if not 1 <= stride <= context", "if stride > context"),
    "a stride that leaves gaps": ("if not 1 <= stride <= context", "if stride < 1"),
    "a text of one token": ("if tokens < 2", "if tokens < 1"),
    "nothing is told": ("        report(counted, len(text) - 1)\n", ""),
}  # fmt: skip
