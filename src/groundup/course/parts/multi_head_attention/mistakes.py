"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the scores are not scaled": ("transpose(-2, -1) * self.scale", "transpose(-2, -1)"),
    "the width of heads is not taken": (
        "dim // heads if head_dim is None else head_dim",
        "dim // heads",
    ),
    "the bias is not added": ("scores = scores + score_bias", "pass"),
    "the bias is added after the softmax": (
        "heads = torch.softmax(scores, dim=-1) @ v",
        "heads = (torch.softmax(scores - (0 if score_bias is None else score_bias), dim=-1)"
        " + (0 if score_bias is None else score_bias)) @ v",
    ),
    "softmax over the queries": ("torch.softmax(scores, dim=-1)", "torch.softmax(scores, dim=-2)"),
    "the heads are interleaved": (
        "features.view(B, T, self.heads, self.head_dim).transpose(1, 2)",
        "features.view(B, T, self.head_dim, self.heads).permute(0, 3, 1, 2)",
    ),
    "heads are joined before they are turned back": (
        "heads.transpose(1, 2).reshape(B, T, -1)",
        "heads.reshape(B, T, -1)",
    ),
    "keys and values exchanged": (
        "return self._split(self.k_proj(memory)), self._split(self.v_proj(memory))",
        "return self._split(self.v_proj(memory)), self._split(self.k_proj(memory))",
    ),
    "no projection back": (
        "out: Tensor = self.out_proj(heads.transpose(1, 2).reshape(B, T, -1))",
        "out: Tensor = heads.transpose(1, 2).reshape(B, T, -1)",
    ),
    "biases in any case": (
        "self.v_proj = Linear(dim, width, bias=bias)",
        "self.v_proj = Linear(dim, width)",
    ),
    "no gradient through the weights": (
        "torch.softmax(scores, dim=-1)",
        "torch.softmax(scores, dim=-1).detach()",
    ),
    "the mask upside down": ("masked_fill(~mask", "masked_fill(mask"),
    "padding is minus infinity": ("torch.finfo(dtype).min", "-torch.inf"),
    "the mask hides the query's own position": (
        ".triu(keys - queries + 1)",
        ".triu(keys - queries)",
    ),
    "T queries taken for the first positions": (".triu(keys - queries + 1)", ".triu(1)"),
    "the shapes are not compared": (
        "if k.shape != v.shape or k.shape[:2] != (B, self.heads) or k.shape[3] != self.head_dim:",
        "if False:",
    ),
    "heads that do not fit are taken": ("if head_dim is None and dim % heads:", "if False:"),
}
