"""Planted mistakes: text of the reference, and what stands there instead. Each must be caught."""

MISTAKES: dict[str, tuple[str, str]] = {
    "the last space is not left to the word": (
        "return j if j == end or j == i + 1 else j - 1",
        "return j",
    ),
    "the last space is left also where nothing follows": (
        "return j if j == end or j == i + 1 else j - 1",
        "return j if j == i + 1 else j - 1",
    ),
    "cl100k's contractions in small letters alone": (
        "j = _contraction(codes, i, end, True)\n    if j > i:",
        "j = _contraction(codes, i, end, False)\n    if j > i:",
    ),
    "GPT-2's contractions in any case": (
        "_contraction(codes, i, end, False)",
        "_contraction(codes, i, end, True)",
    ),
    "the long s is no s": ("if a == 0x17F:", "if False:"),
    "'ve is forgotten": ('(a == ord("r") or a == ord("v"))', '(a == ord("r"))'),
    "any number of digits": ("_run(codes, classes, i, min(end, i + digits), NUMBER)",
                             "_run(codes, classes, i, end, NUMBER)"),
    "line ends behind marks are words of their own": (
        "classes[codes[k]] & NEWLINE or (slash",
        "(slash",
    ),
    "cl100k too takes slashes along": ("(slash and codes[k]", "(codes[k]"),
    "a line end is joined to the word behind it": (
        "if not found & (NUMBER | NEWLINE) and",
        "if not found & NUMBER and",
    ),
    "a number is joined to the word behind it": (
        "if not found & (NUMBER | NEWLINE) and",
        "if not found & NEWLINE and",
    ),
    "spaces before a line end are a word": (
        "while j > i and not classes[codes[j - 1]] & NEWLINE:",
        "while False:",
    ),
    "GPT-2 takes any space along": (
        "j = i + 1 if codes[i] == 32 and i + 1 < end else i",
        "j = i + 1 if classes[codes[i]] & SPACE and i + 1 < end else i",
    ),
    "letters without case are never given back": (
        "while j > start and not classes[codes[j - 1]] & LOWER:",
        "while False:",
    ),
    "o200k's words without contraction": (
        "return max(j, _contraction(codes, j, end, True)) if j < end else j",
        "return j",
    ),
    "capitals without contraction": (
        "return _contraction(codes, j, end, True) if j < end else j",
        "return j",
    ),
    "a piece goes on to the end of the text": (
        "i, end = starts[piece], ends[piece]",
        "i, end = starts[piece], len(codes)",
    ),
    "lengths for ends": ("return found[0, :n], found[1, :n]",
                         "return found[0, :n], found[1, :n] - found[0, :n]"),
    "Chinese words in the place of characters": (
        "if not classes[codes[i]] & (PUNCTUATION | CJK):",
        "if not classes[codes[i]] & PUNCTUATION:",
    ),
    "BERT's spaces are words": ("if kind == BERT and classes[codes[i]] & SPACE:", "if False:"),
    "the mark ends a word": ("codes[j] != LOWER_BLOCK", "codes[j - 1] != LOWER_BLOCK"),
    "others are cut as digits are": ("if number and j - i >= digits:", "if j - i >= digits:"),
}  # fmt: skip
