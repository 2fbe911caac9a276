"""A conversation's title, from its first question."""

import re

__all__ = ["title_of"]

LENGTH = 60  # characters
MARKS = re.compile(r"^\s*(?:#{1,6}|>|[-*+]|\d+[.)]|```\w*)\s*|[*_`$]+")


def title_of(question: str) -> str:
    """The question's first line that says something, without Markdown's marks, cut at a word."""
    for line in question.splitlines():
        title = " ".join(MARKS.sub("", line).split())
        if title:
            break
    else:
        return "New conversation"
    if len(title) > LENGTH:
        cut = title[: LENGTH - 1]
        # Text without spaces is cut where it is.
        title = f"{cut.rsplit(' ', 1)[0] if ' ' in cut[LENGTH // 2 :] else cut}…"
    return title[0].upper() + title[1:]
