"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the layer is kept besides": (
        "self.bias = layer.bias",
        "self.bias = layer.bias; self.layer = layer",
    ),
    "scales in 32 bits": (
        "Nf4.of(layer.weight.detach())",
        "Nf4.of(layer.weight.detach(), double=False)",
    ),
    "the matrix transposed": (
        "Nf4.of(layer.weight.detach())",
        "Nf4.of(layer.weight.detach().T.contiguous())",
    ),
    "the sizes exchanged": (
        "self.in_features, self.out_features = layer.in_features, layer.out_features",
        "self.out_features, self.in_features = layer.in_features, layer.out_features",
    ),
    "the graph keeps the matrix": (
        "y: Tensor = _Product.apply(x, self.matrix)",
        "y: Tensor = F.linear(x, self.matrix.dequantize().to(x.dtype))",
    ),
    "the bias is lost": ("return y if self.bias is None else y + self.bias", "return y"),
    "no gradient": (
        "return (dy @ ctx.matrix.dequantize().to(dy.dtype)).to(ctx.dtype), None",
        "return None, None",
    ),
    "the gradient straight through": (
        "(dy @ ctx.matrix.dequantize().to(dy.dtype))",
        "(dy.sum(-1, keepdim=True) * torch.ones(ctx.matrix.shape[1]))",
    ),
    "half of the gradient": ("(dy @ ctx.matrix", "(0.5 * dy @ ctx.matrix"),
    "the product in the matrix's dtype": (
        "F.linear(x, matrix.dequantize().to(x.dtype))",
        "F.linear(x.to(matrix.dtype), matrix.dequantize())",
    ),
    "float32 at all times": ("return self.matrix.dtype", "return torch.float32"),
}
