"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the last place of the row is scored, padding or not": ("lengths - 1]", "T - 1]"),
    "the token after the last": ("lengths - 1]", "lengths % T]"),
    "the first token is scored": ("lengths - 1]", "0 * lengths]"),
    "the mean over the row": (
        "hidden[torch.arange(B, device=ids.device), lengths - 1]", "hidden.mean(1)"
    ),
    "the output of the first row for all": (
        "hidden[torch.arange(B, device=ids.device), lengths - 1]", "hidden[0, lengths - 1]"
    ),
    "the scores keep an axis": ("self.score(last)[:, 0]", "self.score(last)"),
    "the head has a bias": ("bias=False", "bias=True"),
    "the head starts at random": ("        nn.init.zeros_(self.score.weight)\n", ""),
    "the head starts at 1": ("zeros_(self.score.weight)", "ones_(self.score.weight)"),
    "the model stays frozen": ("model.requires_grad_(True)", "model"),
    "the model learns nothing": (
        "hidden = self.model.hidden(ids)", "hidden = self.model.hidden(ids).detach()"
    ),
    "an output layer that is not used is trainable": (
        "self.model.lm_head.requires_grad_(False)", "pass"
    ),
    "a tied output layer is frozen": (
        "if isinstance(model, Llama) and not model.config.tied_embeddings:", "if True:"
    ),
    "lengths are not looked at": (
        "if lengths.shape != (B,) or lengths.min() < 1 or lengths.max() > T:", "if False:"
    ),
    "a length of 0 is taken": ("lengths.min() < 1", "lengths.min() < 0"),
    "the answers are swapped": ("logsigmoid(chosen - rejected)", "logsigmoid(rejected - chosen)"),
    "the sign is forgotten": ("-F.logsigmoid", "F.logsigmoid"),
    "a sigmoid, then a logarithm": (
        "F.logsigmoid(chosen - rejected)", "(chosen - rejected).sigmoid().log()"
    ),
    "the sum over the pairs": ("(chosen - rejected).mean()", "(chosen - rejected).sum()"),
    "the chosen answer against 0": ("logsigmoid(chosen - rejected)", "logsigmoid(chosen)"),
    "a hinge": ("-F.logsigmoid(chosen - rejected)", "F.relu(1 - chosen + rejected)"),
    "the rejected get no gradient": (
        "logsigmoid(chosen - rejected)", "logsigmoid(chosen - rejected.detach())"
    ),
    "shapes that are not equal are spread": (
        "if chosen.shape != rejected.shape:", "if False:"
    ),
}  # fmt: skip
