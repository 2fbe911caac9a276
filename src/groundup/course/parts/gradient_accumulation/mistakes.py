"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the mean of the micro-batches' means": (
        "loss_sum(inputs, targets) / tokens",
        "loss_sum(inputs, targets) / int((targets != IGNORED).sum()) / len(micro_batches)",
    ),
    "the sum is not divided": ("loss_sum(inputs, targets) / tokens", "loss_sum(inputs, targets)"),
    "divided by the number of micro-batches": (
        "loss_sum(inputs, targets) / tokens",
        "loss_sum(inputs, targets) / len(micro_batches)",
    ),
    "ignored targets are counted": (
        "int((targets != IGNORED).sum())",
        "targets.numel()",
    ),
    "the rows are counted": ("int((targets != IGNORED).sum())", "len(targets)"),
    "the divisor that is given is not used": ("if tokens is None:", "if True:"),
    "only the last micro-batch is differentiated": (
        "        loss.backward()",
        "        if number == len(micro_batches):\n            loss.backward()",
    ),
    "all graphs are kept to the end": (
        "        loss.backward()\n        losses.append(loss.detach())\n"
        "    return torch.stack(losses).sum()",
        "        losses.append(loss)\n    total = torch.stack(losses).sum()\n"
        "    total.backward()\n    return total.detach()",
    ),
    "the last loss is returned": ("torch.stack(losses).sum()", "losses[-1]"),
    "the mean of the losses is returned": ("stack(losses).sum()", "stack(losses).mean()"),
    "the loss keeps its graph": ("loss.detach()", "loss"),
    "before_last is called each time": ("number == len(micro_batches):", "True:"),
    "before_last is never called": ("            before_last()", "            pass"),
    "before_last comes after the last": (
        "        if before_last is not None and number == len(micro_batches):\n"
        "            before_last()\n"
        "        loss = loss_sum(inputs, targets) / tokens\n",
        "        loss = loss_sum(inputs, targets) / tokens\n"
        "        if before_last is not None and number == len(micro_batches):\n"
        "            before_last()\n",
    ),
    "no micro-batch gives an error of another kind": (
        '    if not micro_batches:\n        raise ValueError("there is no micro-batch")',
        "    if not micro_batches:\n        return torch.zeros(())",
    ),
    "a mean over nothing": ("if not tokens > 0:", "if tokens < 0:"),
}  # fmt: skip
