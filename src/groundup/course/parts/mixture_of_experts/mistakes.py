"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SUM = "weights / weights.sum(dim=-1, keepdim=True)"

MISTAKES: dict[str, tuple[str, str]] = {
    "the weights do not sum to one": (SUM, "weights"),
    "the softmax of the chosen probabilities": (SUM, "torch.softmax(weights, dim=-1)"),
    "one expert whatever k": (
        "probabilities.topk(self.experts_per_token)  #",
        "probabilities.topk(1)  #",
    ),
    "plain exponentials": (
        "torch.softmax(self.gate(vectors).float(), dim=-1)",
        "(lambda e: e / e.sum(-1, keepdim=True))(self.gate(vectors).float().exp())",
    ),
    "the last expert overwrites": (
        "out = out.index_add(0, rows, answers)",
        "out = out.index_copy(0, rows, answers)",
    ),
    "every expert reads every token": (
        "answers = expert(vectors[rows])",
        "answers = expert(vectors)[rows]",
    ),
    "the weight of the first place for all": (
        "weights[rows, places, None]",
        "weights[rows, 0, None]",
    ),
    "no gradient to the router": (
        "weights, chosen = probabilities.topk",
        "weights, chosen = probabilities.detach().topk",
    ),
    "the router has a bias": ("experts, bias=False)", "experts)"),
    "the loss without the number of experts": (
        "return E * (visits * probabilities.mean(dim=0)).sum()",
        "return (visits * probabilities.mean(dim=0)).sum()",
    ),
    "the loss of the likeliest expert alone": (
        "probabilities.topk(experts_per_token).indices",
        "probabilities.topk(1).indices",
    ),
    "the loss from probabilities alone": (
        "return E * (visits * probabilities.mean(dim=0)).sum()",
        "return E * (probabilities.mean(dim=0) ** 2).sum() * experts_per_token",
    ),
    "the share among visits instead of tokens": (
        "minlength=E) / N",
        "minlength=E) / chosen.numel()",
    ),
    "experts that nobody visits are not counted": (
        "torch.bincount(chosen.flatten(), minlength=E)",
        "torch.bincount(chosen.flatten(), minlength=E).clamp(min=1)",
    ),
    "the routing is recorded for ever": ("            handle.remove()", "            pass"),
    "the routing is recorded without gradients": (
        "recorded.append(scores)",
        "recorded.append(scores.detach())",
    ),
    "the features of x are not checked": (
        "if x.shape[-1] != self.gate.in_features:",
        "if x.shape[-1] % self.gate.in_features:",
    ),
}
