"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "no norm before attention": (
        "self.self_attn(self._narrow(self.input_layernorm(x)),",
        "self.self_attn(self._narrow(x),",
    ),
    "the norm after the feed-forward layer": (
        "self.mlp(self._narrow(self.post_attention_layernorm(x)))",
        "self.post_attention_layernorm(self.mlp(self._narrow(x)))",
    ),
    "keys are not turned": ("k = rotate(k, cos, sin)", "pass"),
    "queries are turned as the first positions": (
        "rotate(q, cos[T - outputs :], sin[T - outputs :])",
        "rotate(q, cos[:outputs], sin[:outputs])",
    ),
    "turned before the norm": (
        "            q, k = self.q_norm(q), self.k_norm(k)\n"
        "        q, k = q.transpose(1, 2), k.transpose(1, 2)"
        "  # (B, H, outputs, D), (B, H_kv, T, D)\n"
        "        if self.rotary:\n"
        "            q = rotate(q, cos[T - outputs :], sin[T - outputs :])\n"
        "            k = rotate(k, cos, sin)\n",
        "            pass\n"
        "        q, k = q.transpose(1, 2), k.transpose(1, 2)\n"
        "        if self.rotary:\n"
        "            q = rotate(q, cos[T - outputs :], sin[T - outputs :])\n"
        "            k = rotate(k, cos, sin)\n"
        "        if self.q_norm is not None and self.k_norm is not None:\n"
        "            q, k = self.q_norm(q), self.k_norm(k)\n",
    ),
    "all layers are turned": (
        "self.rotary = layer not in config.layers_without_rotary",
        "self.rotary = True",
    ),
    "positions begin anew with a cache": (
        "torch.arange(start, start + T, device",
        "torch.arange(0, T, device",
    ),
    "always the base of the paper": (
        "rotary_frequencies(config.head_dim, config.rotary_base)",
        "rotary_frequencies(config.head_dim)",
    ),
    "frequencies are not stretched": (
        "if config.rotary_scaling is not None:",
        "if False:",
    ),
    "heads are joined before they are turned back": (
        "attended = self.attend(q.to(v.dtype), k.to(v.dtype), v).transpose(1, 2)",
        "attended = self.attend(q.to(v.dtype), k.to(v.dtype), v)",
    ),
    "keys of as many heads as queries": (
        "k = self.k_proj(x).to(wide).view(B, T, -1, self.head_dim)",
        "k = self.k_proj(x).to(wide).view(B, T, self.head_dim, -1).transpose(2, 3)",
    ),
    "the function given is not used": (
        "self.attend(q.to(v.dtype), k",
        "attention(q.to(v.dtype), k",
    ),
    "the window is not used": ("if config.window is not None:", "if False:"),
    "the cache is not advanced": ("cache.advance(T)", "pass"),
    "each layer asks of the last positions alone": (
        "outputs if layer == len(self.layers) else T)",
        "outputs)",
    ),
    "the last layer asks of all positions": (
        "x = block(x, cos, sin, cache, outputs if layer == len(self.layers) else T)",
        "x = block(x, cos, sin, cache, T)[:, -outputs if layer == len(self.layers) else 0 :]",
    ),
    "no last norm": ("normalised: Tensor = self.norm(x)", "normalised: Tensor = x"),
    "the eps is RMSNorm's own": (
        "self.norm = RMSNorm(config.dim, config.norm_eps)",
        "self.norm = RMSNorm(config.dim)",
    ),
    "tied in any case": ("if config.tied_embeddings:", "if True:"),
    "the bias of the keys alone": (
        "self.q_proj = Linear(config.dim, width, bias=config.qkv_bias)",
        "self.q_proj = Linear(config.dim, width, bias=False)",
    ),
    "two experts in any case": (
        "config.dim, config.hidden_dim, config.experts, config.experts_per_token",
        "config.dim, config.hidden_dim, config.experts, 2",
    ),
    "the stream is narrowed": (
        "        attended = self.self_attn(self._narrow(",
        "        x = x.to(self.self_attn.q_proj.weight.dtype)\n"
        "        attended = self.self_attn(self._narrow(",
    ),
    "weights still ask for gradients": ("return model.requires_grad_(False)", "return model"),
    "norms are drawn too": ("if parameter.ndim == 2:", "if True:"),
    "heads are not checked": ("if self.heads % self.kv_heads:", "if False:"),
}
