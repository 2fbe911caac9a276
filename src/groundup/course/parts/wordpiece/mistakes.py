"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the shortest token that fits": (
        "for end in range(len(word), start, -1):",
        "for end in range(start + 1, len(word) + 1):",
    ),
    "the whole word is never tried": (
        "range(len(word), start, -1)",
        "range(len(word) - 1, start, -1)",
    ),
    "a single character is never tried": (
        "range(len(word), start, -1)",
        "range(len(word), start + 1, -1)",
    ),
    "the prefix everywhere": ('mark = prefix if start else ""', "mark = prefix"),
    "the prefix nowhere": ('mark = prefix if start else ""', 'mark = ""'),
    "the prefix at the beginning": (
        'mark = prefix if start else ""',
        'mark = "" if start else prefix',
    ),
    "always the usual prefix": ('mark = prefix if start else ""', 'mark = "##" if start else ""'),
    "what was found before stays": (
        "            return unknown\n    return",
        "            return [*tokens, *unknown]\n    return",
    ),
    "the unknown rest alone": (
        "            return unknown\n    return",
        "            return [*tokens, (unknown_id, start, len(word))]\n    return",
    ),
    "a character that fits nothing is left out": (
        "            return unknown\n    return",
        "            start += 1\n    return",
    ),
    "no limit": ("if len(word) > longest_word:", "if False:"),
    "the limit is one too low": ("if len(word) > longest_word:", "if len(word) >= longest_word:"),
    "always the usual limit": ("if len(word) > longest_word:", "if len(word) > 100:"),
    "the id 0 is taken for nothing": ("if token_id is not None:", "if token_id:"),
    "places count bytes": (
        "tokens.append((token_id, start, end))",
        "tokens.append((token_id, len(word[:start].encode()), len(word[:end].encode())))",
    ),
    "ends are lengths": (
        "tokens.append((token_id, start, end))",
        "tokens.append((token_id, start, end - start))",
    ),
}
