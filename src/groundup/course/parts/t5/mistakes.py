"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

OUT = "out: Tensor = stack.dropout(stack.norm(x))\n        return out\n\n    def "

MISTAKES: dict[str, tuple[str, str]] = {
    "scores are scaled": ("bias=False, scale=1.0", "bias=False"),
    "the encoder looks back alone": ('bidirectional=kind == "encoder"', "bidirectional=False"),
    "the decoder's distances are those of both directions": (
        'bidirectional=kind == "encoder"',
        "bidirectional=True",
    ),
    "the encoder sees padding": (
        "bias = bias + padding_bias(mask, bias.dtype)",
        "pass",
    ),
    "the decoder sees the source's padding": (
        "bias = None if mask is None else padding_bias(mask, self.dtype)",
        "bias = None",
    ),
    "the future is seen": (
        "stack.position_bias(T, S) + causal_bias(T, S, self.dtype, self.device)",
        "stack.position_bias(T, S)",
    ),
    "no distances": (
        "stack.position_bias(T, S) + causal_bias(T, S, self.dtype, self.device)",
        "causal_bias(T, S, self.dtype, self.device)",
    ),
    "the mask forgets the cache": (
        "S = T + (0 if cache is None else cache.length)",
        "S = T",
    ),
    "the cache is not advanced": ("cache.advance(T)", "pass"),
    "the layers share the first one's memory": (
        "x = layer(x, own, remembered, bias, cache)",
        "x = layer(x, own, memory[0], bias, cache)",
    ),
    "no last norm of the encoder": (
        f"{OUT}remember",
        "out: Tensor = stack.dropout(x)\n        return out\n\n    def remember",
    ),
    "no last norm of the decoder": (
        f"{OUT}logits",
        "out: Tensor = stack.dropout(x)\n        return out\n\n    def logits",
    ),
    "the stream is normed": (
        "x = x + self.dropout(self.self_attn(normalised",
        "x = normalised + self.dropout(self.self_attn(normalised",
    ),
    "keys of what is not normed": (
        "self.self_attn.keys_values(normalised)",
        "self.self_attn.keys_values(x)",
    ),
    "cross-attention asks with what is not normed": (
        "self.cross_attn(self.cross_attn_norm(x), *memory, memory_bias)",
        "self.cross_attn(x, *memory, memory_bias)",
    ),
    "the gate is a rectifier": ('F.gelu(self.wi_0(x), approximate="tanh")', "F.relu(self.wi_0(x))"),
    "the exact GELU": ('self.wi_0(x), approximate="tanh")', "self.wi_0(x))"),
    "gate and value exchanged": (
        'F.gelu(self.wi_0(x), approximate="tanh") * self.wi_1(x)',
        'F.gelu(self.wi_1(x), approximate="tanh") * self.wi_0(x)',
    ),
    "the output is not scaled": ("hidden = hidden * self.config.dim**-0.5", "pass"),
    "the output is scaled in any case": (
        "if self.config.tied_embeddings:\n            hidden",
        "if True:\n            hidden",
    ),
    "tied in any case": (
        "if config.tied_embeddings:\n            self.lm_head",
        "if True:\n            self.lm_head",
    ),
    "the eps is T5's": (
        "self.mlp_norm = RMSNorm(config.dim, config.norm_eps)",
        "self.mlp_norm = RMSNorm(config.dim)",
    ),
    "no dropout inside the feed-forward layer": ("self.wo(self.dropout(hidden))",
                                                 "self.wo(hidden)"),
    "queries start as large as keys": ("fan_in *= config.head_dim", "pass"),
}  # fmt: skip
