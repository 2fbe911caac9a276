"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

CHOSEN = "chosen = (draw() < rate) & ~special"

MISTAKES: dict[str, tuple[str, str]] = {
    "all chosen tokens are masked": ("(kind < 0.8)", "(kind < 1.0)"),
    "none stays": ("(kind >= 0.9)", "(kind >= 0.8)"),
    "a fifth is made random": ("(kind < 0.8)", "(kind < 0.7)"),
    "the same draw for both questions": (
        "kind = draw()",
        "kind = ids.new_zeros(ids.shape).float()",
    ),
    "labels where the mask stands alone": (
        "labels = ids.where(chosen, IGNORED)",
        "kind = draw()\n    labels = ids.where(chosen & (kind < 0.8), IGNORED)",
    ),
    "labels are the corrupted ids": (
        "return corrupted.where(~(chosen & (kind >= 0.9)), others), labels",
        "found = corrupted.where(~(chosen & (kind >= 0.9)), others)\n"
        "    return found, found.where(chosen, IGNORED)",
    ),
    "labels elsewhere are 0": ("IGNORED = -100", "IGNORED = 0"),
    "special tokens are chosen": (CHOSEN, "chosen = draw() < rate"),
    "the rate is always 15 %": ("draw() < rate", "draw() < 0.15"),
    "the same places in every text": (CHOSEN, "chosen = (draw()[:1] < rate) & ~special"),
    "neighbours together": (
        CHOSEN,
        "chosen = (draw()[..., ::2].repeat_interleave(2, -1) < rate) & ~special",
    ),
    "one random token for all": (
        "torch.randint(vocabulary, ids.shape, generator=generator, device=ids.device)",
        "torch.randint(vocabulary, (1,), generator=generator, device=ids.device)",
    ),
    "the generator is not used": (
        "torch.rand(ids.shape, generator=generator,",
        "torch.rand(ids.shape,",
    ),
    "ids are changed": (
        "corrupted = ids.where(~(chosen & (kind < 0.8)), mask_id)",
        "corrupted = ids.masked_fill_(chosen & (kind < 0.8), mask_id)",
    ),
    "the rate is not checked": ("if not 0 <= rate <= 1:", "if False:"),
    "special is not checked": (
        "if special.shape != ids.shape or special.dtype != torch.bool:",
        "if False:",
    ),
}
