"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the prompt behind the text": (
        "torch.cat((virtual.expand(len(ids), -1), ids), dim=1)",
        "torch.cat((ids, virtual.expand(len(ids), -1)), dim=1)",
    ),
    "ids from zero": (
        "torch.arange(self.vocabulary, self.vocabulary + self.tokens",
        "torch.arange(self.tokens",
    ),
    "ids from one behind": (
        "torch.arange(self.vocabulary, self.vocabulary + self.tokens",
        "torch.arange(self.vocabulary + 1, self.vocabulary + self.tokens + 1",
    ),
    "random vectors": (
        "base.weight.detach()[drawn.to(base.weight.device)].float()",
        "torch.randn(tokens, base.embedding_dim)",
    ),
    "the vocabulary's first vectors": (
        "torch.randint(self.vocabulary, (tokens,), generator=generator)",
        "torch.arange(tokens)",
    ),
    "the generator is not used": ("(tokens,), generator=generator)", "(tokens,))"),
    "one vector for all": (
        "torch.randint(self.vocabulary, (tokens,), generator=generator)",
        "torch.randint(self.vocabulary, (1,), generator=generator).expand(tokens)",
    ),
    "the vocabulary is trained too": ("base.requires_grad_(False)", "base"),
    "the prompt does not learn": ("self.prompt[ids[virtual]", "self.prompt.detach()[ids[virtual]"),
    "the prompt is no parameter": ("self.prompt = nn.Parameter(", "self.prompt = ("),
    "prompt vectors in a batch's order": (
        "self.prompt[ids[virtual] - self.vocabulary]",
        "self.prompt[torch.arange(int(virtual.sum())) % self.tokens]",
    ),
    "ids beyond the table": ("ids.clamp(max=self.vocabulary - 1)", "ids"),
    "the last token is virtual": (
        "virtual = ids >= self.vocabulary\n",
        "virtual = ids >= self.vocabulary - 1\n",
    ),
    "the prompt in the vocabulary's dtype": ("device)].float())", "device)].clone())"),
    "virtual vectors are added": (
        "x.index_put((virtual,), vectors)",
        "x.index_put((virtual,), vectors, accumulate=True)",
    ),
}
