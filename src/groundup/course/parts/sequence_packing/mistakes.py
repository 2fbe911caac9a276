"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "texts see one another": ("with _apart(model, lengths):", "if True:"),
    "positions run on in a row": (
        "parts = [torch.arange(n) for n in lengths]",
        "parts = [torch.arange(sum(lengths))]",
    ),
    "positions from 1": (
        "parts = [torch.arange(n) for n in lengths]",
        "parts = [torch.arange(n) + 1 for n in lengths]",
    ),
    "padding is at position 0": ("PADDING = -1", "PADDING = 0"),
    "the model counts the positions itself": (
        "positions=positions)[0]",
        "positions=torch.arange(len(ids)))[0]",
    ),
    "padding is read": ("real = positions != PADDING", "real = positions < 99"),
    "first tokens are taken for padding": ("real = positions != PADDING", "real = positions > 0"),
    "a text ends where the next begins, and one more": ("[b - a for a, b", "[b - a + 1 for a, b"),
    "the last text is forgotten": (
        "zip(starts, [*starts[1:], len(positions)], strict=True)",
        "zip(starts[:-1], starts[1:], strict=True)",
    ),
    "one text for a row": (
        "starts = (positions == 0)",
        "starts = (positions == 0) & (positions.cumsum(0) == 0)\n    starts = (starts)",
    ),
    "the batch is filled at its beginnings": (
        "batch_first=True)",
        'batch_first=True, padding_side="left")',
    ),
    "the batch is filled at its beginnings, and cut there": ("row[:length]", "row[-length:]"),
    "padding is not cut off": ("row[:length] for", "row for"),
    "the first module alone": (
        "for module, attend in found.items():\n        module.attend = _TextByText",
        "for module, attend in list(found.items())[:1]:\n        module.attend = _TextByText",
    ),
    "all modules get the last one's attention": (
        "_TextByText(attend, lengths)",
        "_TextByText([*found.values()][-1], lengths)",
    ),
    "attention is not put back": (
        "        for module, attend in found.items():\n            module.attend = attend",
        "        for module, attend in found.items():\n            pass",
    ),
    "attention is not put back after an error": (
        "    try:\n        yield\n    finally:\n",
        "    yield\n    if True:\n",
    ),
    "heads are taken for positions": (
        "x.split(self.lengths, dim=2)",
        "x.transpose(1, 2).split(self.lengths, dim=1)",
    ),
    "values run on": (
        "for x in (q, k, v)), strict=True)",
        "for x in (q, k, v.roll(1, 2))), strict=True)",
    ),
    "no gradients": ("            return found\n", "            return found.detach()\n"),
}
