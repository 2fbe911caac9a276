"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "random at first": ("nn.Parameter(torch.zeros(tokens,", "nn.Parameter(torch.randn(tokens,"),
    "keys alone": ("2 * layers * kv_heads * head_dim))", "layers * kv_heads * head_dim))"),
    "values before keys": (
        "return rows[first], rows[first + 1]",
        "return rows[first + 1], rows[first]",
    ),
    "all keys before all values": (
        "return rows[first], rows[first + 1]",
        "return rows[layer], rows[self.layers + layer]",
    ),
    "heads and positions exchanged": (
        ".permute(1, 2, 0, 3)",
        ".permute(1, 0, 2, 3).reshape(self.shape[1], self.shape[2], self.tokens, -1)",
    ),
    "layers from the last": ("2 * layer\n", "2 * (self.layers - 1 - layer)\n"),
    "doubled means nothing": ("if self.doubled else", "if False else"),
    "doubled, and not begun again": (
        "4 * layer % (2 * self.layers)",
        "min(4 * layer, 2 * self.layers - 2)",
    ),
    "begun with keys alone": ("            own_v.copy_(v[0])\n", ""),
    "begun in another layer": ("in enumerate(recorded):", "in enumerate(recorded[::-1]):"),
    "the cache is not advanced": ("cache.advance(self.tokens)", "pass"),
    "the first layer alone": ("for layer in range(self.layers):", "for layer in range(1):"),
    "nothing is held": ("return self.prefix.tokens", "return 0"),
    "the prefix behind the text": ("torch.cat((own_k, k), dim=2)", "torch.cat((k, own_k), dim=2)"),
    "values without the prefix": (
        "torch.cat((own_v.to(v.dtype), v), dim=2)",
        "torch.cat((0 * own_v.to(v.dtype), v), dim=2)",
    ),
    "no gradient": ("rows = self.weight.view", "rows = self.weight.detach().view"),
    "one text's prefix": ("k.to(dtype).expand(batch,", "k.to(dtype)[None].expand(1,"),
    "float32 at all times": (
        "return k.to(dtype).expand(batch, -1, -1, -1), v.to(dtype)",
        "return k.expand(batch, -1, -1, -1), v",
    ),
}
