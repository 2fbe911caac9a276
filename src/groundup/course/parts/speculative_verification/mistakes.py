"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

EQUAL = "        if place == len(draft) or choice != draft[place]:\n            return chosen\n"
REJECT = "        if u * q[token] >= p[token]:\n"
RESIDUAL = "return [*chosen, draw((p - q).clamp(min=0).log(), generator)]"
BONUS = "            return [*chosen, draw(row, generator)]\n"

MISTAKES: dict[str, tuple[str, str]] = {
    # verify_choices.
    "the target's token in a rejected one's place is left out": (
        "        chosen.append(choice)\n" + EQUAL,
        "        if place < len(draft) and choice != draft[place]:\n"
        "            return chosen or [choice]\n"
        "        chosen.append(choice)\n"
        "        if place == len(draft):\n"
        "            return chosen\n",
    ),
    "no token behind a draft that stands": (
        EQUAL,
        EQUAL.replace("len(draft) or", "len(draft) - (len(draft) > 0) or"),
    ),
    "choices behind a rejected token are kept": (
        EQUAL,
        "        if place == len(draft):\n            return chosen\n",
    ),
    "the drafted token stands, not the target's": (
        "        chosen.append(choice)\n",
        "        chosen.append(draft[place] if place < len(draft) else choice)\n",
    ),
    "any drafted token will do": ("choice != draft[place]", "choice not in draft"),
    "compared with the token before": (
        "choice != draft[place]",
        "choice != draft[max(0, place - 1)]",
    ),
    "all choices are made at once": (
        "for place, choice in enumerate(choices):",
        "for place, choice in enumerate(list(choices)):",
    ),
    "too few choices are taken for all": (
        "    raise ValueError(\n"
        '        f"a draft of {len(draft)} tokens needs {len(draft) + 1} choices, got {len(chosen)}"\n'  # noqa: E501
        "    )\n",
        "    return chosen\n",
    ),
    # verify_samples: what is accepted.
    "everything is accepted": (REJECT, "        if False:\n"),
    "nothing is accepted, and the token drawn from p": (
        REJECT,
        "        return [*chosen, draw(row, generator)]\n" + REJECT,
    ),
    "accepted with probability p": (REJECT, "        if u >= p[token]:\n"),
    "accepted with probability q / p": (REJECT, "        if u * p[token] >= q[token]:\n"),
    "accepted where p is at least q, and only there": (
        REJECT,
        "        if q[token] > p[token]:\n",
    ),
    "accepted too easily": (REJECT, "        if u * u * q[token] >= p[token]:\n"),
    "the same chance for all tokens of a draft": (
        "        u = torch.rand(1, dtype=torch.float64, generator=generator)\n",
        "        u = torch.rand(1, dtype=torch.float64, generator=generator) if not place else u\n",
    ),
    "logits compared in place of probabilities": (
        REJECT,
        "        if u * draft_scores[place][token].exp() >= row[token].exp():\n",
    ),
    # verify_samples: what stands in a rejected token's place.
    "drawn from p": (RESIDUAL, "return [*chosen, draw(row, generator)]"),
    "drawn from q": (RESIDUAL, "return [*chosen, draw(draft_scores[place], generator)]"),
    "drawn from q - p": (RESIDUAL, RESIDUAL.replace("p - q", "q - p")),
    "drawn from p without the rejected token": (
        RESIDUAL,
        "return [*chosen, draw(p.index_fill(0, torch.tensor([token]), 0).log(), generator)]",
    ),
    "the residual is taken for scores": (RESIDUAL, RESIDUAL.replace(".log()", "")),
    "the highest of the residual": (RESIDUAL, "return [*chosen, int((p - q).argmax())]"),
    "the residual keeps what is negative": (
        RESIDUAL,
        RESIDUAL.replace(".clamp(min=0)", ".exp()"),
    ),
    "the residual draw uses the number that rejected": (
        RESIDUAL,
        "return [*chosen, int(torch.searchsorted("
        "(p - q).clamp(min=0).cumsum(0) / (p - q).clamp(min=0).sum(), u).clamp(max=len(p) - 1))]",
    ),
    "the rejected token stays in the text": (
        RESIDUAL,
        RESIDUAL.replace("[*chosen, ", "[*chosen, token, "),
    ),
    "the rest of the draft is kept": (
        RESIDUAL,
        RESIDUAL.replace("generator)]", "generator), *draft[place + 1 :]]"),
    ),
    "the accepted ones are dropped with the rejected one": (
        RESIDUAL,
        RESIDUAL.replace("[*chosen, ", "["),
    ),
    # verify_samples: the token behind a draft that stands, and where q is looked up.
    "no token is drawn behind a draft that stands": (BONUS, "            return chosen\n"),
    "the token behind the draft is the likeliest": (
        BONUS,
        "            return [*chosen, int(row.argmax())]\n",
    ),
    "the token behind the draft is drawn from the first scores": (
        BONUS,
        "            return [*chosen, draw(first, generator)]\n"
        "        first = row if place == 0 else first\n",
    ),
    "q of the place before": (
        "(row, draft_scores[place])",
        "(row, draft_scores[max(0, place - 1)])",
    ),
    "all scores are computed at once": (
        "for place, row in enumerate(scores):",
        "for place, row in enumerate(list(scores)):",
    ),
    "softmax in the dtype of the scores": ("s.double().cpu()", "s.cpu()"),
    "softmax in float32": ("s.double().cpu()", "s.float().cpu()"),
    "scores are divided by their highest": ("s.double().cpu()", "(s / s.max()).double().cpu()"),
    "chance from torch's own generator": (
        "u = torch.rand(1, dtype=torch.float64, generator=generator)",
        "u = torch.rand(1, dtype=torch.float64)",
    ),
    "a token that was never drafted is taken": ("if q[token] == 0:", "if False:"),
    "more rows of draft_scores than tokens are taken": (
        "if len(draft_scores) != len(draft):",
        "if len(draft_scores) < len(draft):",
    ),
    "too few scores are taken for all": (
        "    raise ValueError(\n"
        '        f"a draft of {len(draft)} tokens needs {len(draft) + 1} scores, got {len(chosen)}"\n'  # noqa: E501
        "    )\n",
        "    return chosen\n",
    ),
}
