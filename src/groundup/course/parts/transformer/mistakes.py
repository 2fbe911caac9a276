"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "embeddings are not scaled": ("self.shared(ids) * self.config.dim**0.5", "self.shared(ids)"),
    "sines and cosines alternate": ("self.config.dim, halves=True", "self.config.dim"),
    "no positions": (
        "self.dropout(scaled + vectors.to(scaled.dtype))",
        "self.dropout(scaled)",
    ),
    "positions begin anew with a cache": (
        "torch.arange(start, stop, device",
        "torch.arange(0, stop - start, device",
    ),
    "the encoder sees padding": (
        "        bias = None if mask is None else padding_bias(mask, self.dtype)\n"
        "        x = self._embed(ids, 0)",
        "        bias = None\n        x = self._embed(ids, 0)",
    ),
    "the decoder sees the source's padding": (
        "        bias = None if mask is None else padding_bias(mask, self.dtype)\n"
        "        x = self._embed(ids, start)",
        "        bias = None\n        x = self._embed(ids, start)",
    ),
    "the future is seen": ("x = layer.decode(x, own,", "x = layer.decode(x, 0 * own.tril(),"),
    "the mask forgets the cache": (
        "causal_bias(T, start + T, self.dtype, self.device)",
        "causal_bias(T, T, self.dtype, self.device)",
    ),
    "the cache is not advanced": ("cache.advance(T)", "pass"),
    "the layers share the first one's memory": (
        "x = layer.decode(x, own, remembered, bias, cache)",
        "x = layer.decode(x, own, memory[0], bias, cache)",
    ),
    "the encoder's layers once": (
        "        for layer in self.encoder:\n            x = layer(x, bias)\n",
        "        x = self.encoder[0](x, bias)\n",
    ),
    "the output layer is a matrix of its own": (
        "        self.lm_head.weight = self.shared.weight\n",
        "",
    ),
    "the bias of the logits is forgotten": (
        "self.lm_head(hidden) + self.final_logits_bias",
        "self.lm_head(hidden)",
    ),
    "the bias of the logits is trained": (
        'self.register_buffer("final_logits_bias", torch.zeros(1, config.vocabulary))',
        "self.final_logits_bias = nn.Parameter(torch.zeros(1, config.vocabulary))",
    ),
    "always relu": ('"activation": config.activation}', '"activation": "relu"}'),
    "no dropout of embeddings": (
        "out: Tensor = self.dropout(scaled + vectors.to(scaled.dtype))",
        "out: Tensor = scaled + vectors.to(scaled.dtype)",
    ),
    "matrices are drawn normally": ("nn.init.xavier_uniform_(", "nn.init.xavier_normal_("),
    "embeddings start at 1": ("std=config.dim**-0.5", "std=1.0"),
    "the context is not checked": ("if stop > self.config.context:", "if False:"),
    "an odd dim is let in": ("if self.dim % self.heads or self.dim % 2:",
                             "if self.dim % self.heads:"),
}  # fmt: skip
