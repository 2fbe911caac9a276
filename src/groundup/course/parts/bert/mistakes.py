"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "no positions": (
        "self.embed_tokens(ids) + self.embed_positions(positions)",
        "self.embed_tokens(ids)",
    ),
    "positions from 1": ("torch.arange(T, device", "1 + torch.arange(T, device"),
    "segments are forgotten": ("x = x + self.embed_types(segments)", "pass"),
    "no vector for the first segment": (
        "x = x + self.embed_types(segments)",
        "x = x if types is None else x + self.embed_types(segments)",
    ),
    "embeddings are not normed": (
        "self.dropout(self.embed_norm(x.to(self.embed_norm.weight.dtype)))",
        "self.dropout(x)",
    ),
    "no dropout of embeddings": (
        "self.dropout(self.embed_norm(x.to(self.embed_norm.weight.dtype)))",
        "self.embed_norm(x)",
    ),
    "padding is seen": ("x = layer(x, bias)", "x = layer(x)"),
    "what is hidden is the text": ("padding_bias(mask, x.dtype)", "padding_bias(~mask, x.dtype)"),
    "always gelu": ("activation=config.activation,\n", ""),
    "the layers' eps is torch's": ("                norm_eps=config.norm_eps,\n", ""),
    "the mean is pooled": ("self.pooler(hidden[:, 0])", "self.pooler(hidden.mean(dim=1))"),
    "the last token is pooled": ("self.pooler(hidden[:, 0])", "self.pooler(hidden[:, -1])"),
    "no tanh": ("return torch.tanh(self.pooler(hidden[:, 0]))",
                "return self.pooler(hidden[:, 0])"),
    "the head has no activation": ("self.activation(self.dense(self.bert(ids, mask, types)))",
                                   "self.dense(self.bert(ids, mask, types))"),
    "the head has no norm": ("self.decoder(self.norm(hidden))", "self.decoder(hidden)"),
    "the head's activation is gelu": (
        "self.activation = activation_named(config.activation)",
        'self.activation = activation_named("gelu")',
    ),
    "the output matrix is one of its own": (
        "        self.decoder.weight = self.bert.embed_tokens.weight\n",
        "",
    ),
    "the classifier reads all tokens": (
        "pooled = self.bert.pool(self.bert(ids, mask, types))",
        "pooled = self.bert(ids, mask, types).mean(dim=1)",
    ),
    "the classifier forgets the mask": (
        "pooled = self.bert.pool(self.bert(ids, mask, types))",
        "pooled = self.bert.pool(self.bert(ids, None, types))",
    ),
    "no dropout before the labels": ("self.classifier(self.dropout(pooled))",
                                     "self.classifier(pooled)"),
    "embeddings start at 1": ("isinstance(module, (nn.Linear, nn.Embedding))",
                              "isinstance(module, nn.Linear)"),
    "the context is not checked": ("if T > limit:  # noqa: SIM300", "if False:"),
}  # fmt: skip
