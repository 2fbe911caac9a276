"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

GATED = "gate * torch.sigmoid(gate) * self.up_proj(x)"
DOWN = "self.down_proj = Linear(hidden_dim, dim, bias=False)"

MISTAKES: dict[str, tuple[str, str]] = {
    "gate and up exchanged": (
        f"gate = self.gate_proj(x)\n        down: Tensor = self.down_proj({GATED})",
        "gate = self.up_proj(x)\n        down: Tensor = self.down_proj("
        + GATED.replace("up_proj", "gate_proj")
        + ")",
    ),
    "no activation": (GATED, "gate * self.up_proj(x)"),
    "the sigmoid alone": (GATED, "torch.sigmoid(gate) * self.up_proj(x)"),
    "a rectifier instead of the SiLU": (GATED, "torch.relu(gate) * self.up_proj(x)"),
    "the GELU instead of the SiLU": (GATED, "nn.functional.gelu(gate) * self.up_proj(x)"),
    "tanh instead of the sigmoid": ("torch.sigmoid(gate)", "torch.tanh(gate)"),
    "the sign of the sigmoid": ("torch.sigmoid(gate)", "torch.sigmoid(-gate)"),
    "the SiLU of both": (GATED, f"{GATED} * torch.sigmoid(self.up_proj(x))"),
    "added instead of multiplied": ("* self.up_proj(x)", "+ self.up_proj(x)"),
    "no up projection": (" * self.up_proj(x)", ""),
    "a softmax for the gate": ("torch.sigmoid(gate)", "torch.softmax(gate, dim=-1)"),
    "the exponential overflows": ("torch.sigmoid(gate)", "(gate.exp() / (1 + gate.exp()))"),
    "the input is added": ("return down", "return x + down"),
    "the input is added in place": ("return down", "return x.detach().add_(down)"),
    "a bias": (
        "self.up_proj = Linear(dim, hidden_dim, bias=False)",
        "self.up_proj = Linear(dim, hidden_dim)",
    ),
    "a projection that takes x of its own dtype only": (
        "self.up_proj = Linear(",
        "self.up_proj = nn.Linear(",
    ),
    "gate and up are one layer": (
        "self.up_proj = Linear(dim, hidden_dim, bias=False)",
        "self.up_proj = self.gate_proj",
    ),
    "gate and up start equal": (
        DOWN,
        f"{DOWN}\n        self.up_proj.load_state_dict(self.gate_proj.state_dict())",
    ),
    "down starts at zeros": (DOWN, f"{DOWN}\n        nn.init.zeros_(self.down_proj.weight)"),
    "every layer starts equal": (
        "self.gate_proj = Linear(dim",
        "torch.manual_seed(0); self.gate_proj = Linear(dim",
    ),
    "no gradient through the sigmoid": ("torch.sigmoid(gate)", "torch.sigmoid(gate.detach())"),
    "no gradient of the gate": (
        "gate = self.gate_proj(x)",
        "gate = self.gate_proj(x).detach()",
    ),
    "no gradient of up": ("* self.up_proj(x)", "* self.up_proj(x).detach()"),
    "float64 narrowed": ("torch.sigmoid(gate)", "torch.sigmoid(gate.float())"),
    "float32 out": ("return down", "return down.float()"),
    "the result kept for the same tensor": (
        "    def forward(",
        '    @__import__("functools").cache\n    def forward(',
    ),
    "zeros": ("return down", "return 0 * down"),
    "x itself": ("return down", "return x.clone()"),
    "no check of dim": ("dim <= 0 or hidden_dim <= 0", "hidden_dim <= 0"),
    "no check of hidden_dim": ("dim <= 0 or hidden_dim <= 0", "dim <= 0"),
}
