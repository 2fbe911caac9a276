"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the norm after the sublayer": (
        "self.attn(self.ln_1(x), cache)",
        "self.ln_1(self.attn(x, cache))",
    ),
    "no norm before the feed-forward layer": ("self.mlp(self.ln_2(x))", "self.mlp(x)"),
    "the exact GELU": ("fused_gelu(self.c_fc(x))", "nn.functional.gelu(self.c_fc(x))"),
    "no last norm": (
        "normalised: Tensor = self.ln_f(x if outputs is None else x[:, T - outputs :])",
        "normalised: Tensor = x if outputs is None else x[:, T - outputs :]",
    ),
    "positions begin anew with a cache": (
        "torch.arange(start, start + T, device",
        "torch.arange(0, T, device",
    ),
    "heads are interleaved": (
        "part.view(B, T, self.heads, C // self.heads).transpose(1, 2)",
        "part.view(B, T, C // self.heads, self.heads).permute(0, 3, 1, 2)",
    ),
    "heads are joined before they are turned back": (
        "self.attend(q, k, v).transpose(1, 2).reshape(B, T, C)",
        "self.attend(q, k, v).reshape(B, T, C)",
    ),
    "the function given is not used": ("self.attend(q, k, v)", "attention(q, k, v)"),
    "the cache is not advanced": ("cache.advance(T)", "pass"),
    "the first outputs are returned": ("x[:, T - outputs :]", "x[:, :outputs]"),
    "the output layer is a matrix of its own": (
        "        self.lm_head.weight = self.wte.weight\n",
        "",
    ),
    "all matrices start alike": (
        "std = 0.02 / (2 * config.layers) ** 0.5 if residual else 0.02",
        "std = 0.02",
    ),
    "no dropout of the embeddings": (
        "x = self.dropout((self.wte",
        "x = ((self.wte",
    ),
    "the eps is torch's": (
        "self.ln_2 = nn.LayerNorm(config.dim, config.norm_eps)",
        "self.ln_2 = nn.LayerNorm(config.dim)",
    ),
    "the context is not checked": ("if start + T > self.config.context:", "if False:"),
    "what the cache holds is not counted": (
        "if start + T > self.config.context:",
        "if T > self.config.context:",
    ),
}
