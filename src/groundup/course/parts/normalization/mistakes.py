"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "always NFC": ("partial(unicodedata.normalize, form)", 'partial(unicodedata.normalize, "NFC")'),
    "each character by itself": ("CLUSTER.findall(text)", "list(text)"),
    "Hangul in parts is no cluster": (r"\u1160-\u11ff\uff9e\uff9f]*", "]*"),
    "the whole text is the origin": (
        'if "".join(becomes) != changed:',
        "if True:",
    ),
    "no origins of forms": (
        "return changed, origins_of(list(map(len, parts)), list(map(len, becomes)))",
        "return changed, None",
    ),
    "the old lengths for the new": (
        "origins_of(list(map(len, parts)), list(map(len, becomes)))",
        "origins_of(list(map(len, becomes)), list(map(len, becomes)))",
    ),
    "origins are places, not spans": ("np.stack((places, places + 1), axis=1)",
                                      "np.stack((places, places), axis=1)"),
    "origins are counted in the new text": (
        "places = np.repeat(np.arange(len(codes)), lengths)",
        "places = np.arange(len(changed))",
    ),
    "a text of the same length has not moved": (
        "if (lengths == 1).all():",
        "if len(changed) == len(text):",
    ),
    "letters are folded": ("return ByCharacter(str.lower)", "return ByCharacter(str.casefold)"),
    "spacing marks go too": ('unicodedata.category(c) != "Mn"',
                             'not unicodedata.category(c).startswith(("M", "S"))'),
    "accents stay": ('unicodedata.category(c) != "Mn"', "True"),
    "origins in the text before": (
        "new = np.stack((origins[new[:, 0], 0], origins[new[:, 1] - 1, 1]), axis=1)",
        "pass",
    ),
    "the end of the first one": (
        "origins[new[:, 1] - 1, 1]",
        "origins[new[:, 0], 1]",
    ),
    "the last one's origins alone": ("origins = origins if new is None else new", "origins = new"),
    "controls stay": ("character == \"\\ufffd\" or category in (\"Cc\", \"Cf\", \"Co\")",
                      'category in ("Cf", "Co")'),
    "tabs are dropped": ('character in "\\t\\n\\r" or category in ("Zs", "Zl", "Zp")',
                         'category in ("Zs", "Zl", "Zp")'),
    "only U+0020 is a space": ('category in ("Zs", "Zl", "Zp")', 'category == "Zz"'),
    "no space behind Chinese characters": ('f" {character} "', 'f" {character}"'),
    "Chinese characters are always set apart": ('spec["handle_chinese_chars"] and ', ""),
    "accents of letters that are not decomposed": (
        'without_accents(unicodedata.normalize("NFD", character))',
        "without_accents(character)",
    ),
    "accents go in any case": (
        'lowercase if spec.get("strip_accents") is None else spec["strip_accents"]',
        "True",
    ),
    "a missing strip_accents is False": (
        'lowercase if spec.get("strip_accents") is None else spec["strip_accents"]',
        'bool(spec.get("strip_accents"))',
    ),
    "always lowered": ("return character.lower() if lowercase else character",
                       "return character.lower()"),
    "the unknown changes nothing": ("    raise GroundupError(\n        f\"the normalizer",
                                    "    return as_it_is\n    raise GroundupError(\n"
                                    "        f\"the normalizer"),
}  # fmt: skip
