"""The text of a manual page in roff's ``man`` macros, as readers see it without layout."""

import re

__all__ = ["man_text"]

SECTIONS = {".SH", ".SS"}
TEXT = {".B", ".I", ".R", ".SM", ".SB", ".BR", ".RB", ".BI", ".IB", ".IR", ".RI"}
BREAKS = {".PP", ".P", ".LP", ".TP", ".IP", ".HP", ".sp", ".br", ".RS", ".RE", ".nf", ".fi"}
CHARACTERS = {
    "aq": "'", "dq": '"', "cq": "'", "oq": "'", "lq": '"', "rq": '"', "hy": "-", "en": "-",
    "em": "--", "bu": "*", "co": "(c)", "ti": "~", "ha": "^", "rs": "\\", "ga": "`", "mu": "x",
}  # fmt: skip
ESCAPE = re.compile(
    r"\\(?:f(?:\[[^]]*\]|\(..|.)|s[-+]?\d+|\((?P<two>..)|\[(?P<long>[^]]*)\]|\*(?:\[[^]]*\]|\(..|.)"
    r"|(?P<one>.))"
)
WORD = re.compile(r'"((?:[^"]|"")*)"?|(\S+)')


def man_text(source: str) -> str:
    """Headings, paragraphs and words; fonts, sizes and macros of other packages are left out.

    Pages in ``mdoc`` (those of the BSDs) give an empty text.
    """
    lines: list[str] = []
    for line in source.splitlines():
        if line.startswith(('.\\"', "'\\\"", '.\\"', "'")):
            continue
        if not line.startswith("."):
            lines.append(_plain(line))
            continue
        macro, _, rest = line.partition(" ")
        words = [quoted.replace('""', '"') or bare for quoted, bare in WORD.findall(rest)]
        if macro == ".Dd":
            return ""
        if macro == ".TH" and len(words) > 1:
            lines.append(f"{_plain(words[0])}({_plain(words[1])})")
        elif macro in SECTIONS:
            lines += ["", _plain(" ".join(words))]
        elif macro in TEXT:
            # Two letters name fonts in turn: the words are joined without spaces.
            lines.append(_plain(("" if len(macro) == 3 else " ").join(words)))
        elif macro in BREAKS:
            lines += ["", _plain(words[0])] if macro == ".IP" and words else [""]
    return _joined(lines)


def _plain(text: str) -> str:
    return ESCAPE.sub(_character, text)


def _character(found: re.Match[str]) -> str:
    if name := found["two"] or found["long"]:
        return CHARACTERS.get(name, "")
    one = found["one"] or ""
    if one in "&|^/,:%{}cdu":  # zero width, or a hint for line breaking
        return ""
    return {"e": "\\", "~": " ", "0": " "}.get(one, one)


def _joined(lines: list[str]) -> str:
    """Paragraphs on one line each."""
    paragraphs: list[list[str]] = [[]]
    for line in lines:
        if line.strip():
            paragraphs[-1].append(" ".join(line.split()))
        elif paragraphs[-1]:
            paragraphs.append([])
    return "\n\n".join(" ".join(words) for words in paragraphs if words) + "\n"
