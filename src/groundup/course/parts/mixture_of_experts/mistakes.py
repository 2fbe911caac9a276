"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

SUM = "weights / weights.sum(dim=-1, keepdim=True)"

MISTAKES: dict[str, tuple[str, str]] = {
    "the weights do not sum to one": (SUM, "weights"),
    "the softmax of the chosen probabilities": (SUM, "torch.softmax(weights, dim=-1)"),
    "all experts weigh alike": (SUM, "torch.ones_like(weights) / self.experts_per_token"),
    "the least likely experts": (
        "probabilities.topk(self.experts_per_token)  #",
        "probabilities.topk(self.experts_per_token, largest=False)  #",
    ),
    "one expert whatever k": (
        "probabilities.topk(self.experts_per_token)  #",
        "probabilities.topk(1)  #",
    ),
    "the softmax over the tokens": (
        "torch.softmax(self.gate(vectors).float(), dim=-1)",
        "torch.softmax(self.gate(vectors).float(), dim=0)",
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
    "the answers are not weighted": ("* weights[rows, places, None]", "* 1"),
    "no gradient to the router": (
        "weights, chosen = probabilities.topk",
        "weights, chosen = probabilities.detach().topk",
    ),
    "the router has a bias": ("experts, bias=False)", "experts)"),
    "float32 out": ("return out.view(x.shape)", "return out.view(x.shape).float()"),
    "the input is added": ("return out.view(x.shape)", "return x + out.view(x.shape)"),
    "the loss without the number of experts": (
        "return E * (visits * probabilities.mean(dim=0)).sum()",
        "return (visits * probabilities.mean(dim=0)).sum()",
    ),
    "the loss of the likeliest expert alone": (
        "probabilities.topk(experts_per_token).indices",
        "probabilities.topk(1).indices",
    ),
    "the loss counts visits twice": (
        "return E * (visits * probabilities.mean(dim=0)).sum()",
        "return E * (visits * visits).sum()",
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
    "more experts than there are": (
        "if not 1 <= experts_per_token <= experts:",
        "if experts_per_token < 1:",
    ),
}
