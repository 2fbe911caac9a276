"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

FEED = "self.final_layer_norm(x + self.dropout(self.fc2(widened)))"

MISTAKES: dict[str, tuple[str, str]] = {
    "the norm before the addition": (FEED, "x + self.final_layer_norm(self.dropout("
                                     "self.fc2(widened)))"),
    "nothing is added": (FEED, "self.final_layer_norm(self.dropout(self.fc2(widened)))"),
    "the norm before the feed-forward layer": (
        "widened = self.activation(self.fc1(x))",
        "widened = self.activation(self.fc1(self.final_layer_norm(x)))",
    ),
    "no activation": ("widened = self.activation(self.fc1(x))", "widened = self.fc1(x)"),
    "always relu": (
        "self.activation = activation_named(activation)",
        'self.activation = activation_named(activation and "relu")',
    ),
    "the eps is torch's": (
        "self.final_layer_norm = nn.LayerNorm(dim, norm_eps)",
        "self.final_layer_norm = nn.LayerNorm(dim)",
    ),
    "the encoder sees padding": (
        "self.self_attn(x, *self.self_attn.keys_values(x), score_bias)",
        "self.self_attn(x, *self.self_attn.keys_values(x))",
    ),
    "no dropout of the feed-forward layer": ("x + self.dropout(self.fc2(widened))",
                                             "x + self.fc2(widened)"),
    "no dropout of the encoder's attention": ("x + self.dropout(attended)))\n\n    def _feed",
                                              "x + attended))\n\n    def _feed"),
    "the decoder's activation is not handed on": (
        "dropout=dropout, activation=activation)\n        self.layer",
        "dropout=dropout)\n        self.layer",
    ),
    "the cache is asked as layer 0": ("cache.write(self.layer, k, v)", "cache.write(0, k, v)"),
    "what the cache held is not used": ("k, v = cache.write(", "cache.write("),
    "the future is seen": ("self.self_attn(x, k, v, score_bias)", "self.self_attn(x, k, v)"),
    "the source's padding is seen": ("self.encoder_attn(x, *memory, memory_bias)",
                                     "self.encoder_attn(x, *memory)"),
    "the source is attended to by the same weights": (
        "self.encoder_attn(x, *memory",
        "self.self_attn(x, *memory",
    ),
    "one norm for both attentions": (
        "self._feed_forward(self.encoder_attn_layer_norm(",
        "self._feed_forward(self.self_attn_layer_norm(",
    ),
    "keys and values exchanged": ("k, v = self.self_attn.keys_values(x)",
                                  "v, k = self.self_attn.keys_values(x)"),
}  # fmt: skip
