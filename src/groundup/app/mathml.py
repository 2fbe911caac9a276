"""Formulas in LaTeX as MathML, which browsers set by themselves.

latex2mathml reads LaTeX, but what it writes cannot be shown as it is: ``\\text{<script>}`` comes
out as an element, and ``\\href`` with any address. So its tree is written anew here, of known
elements and attributes alone.
"""

import re
from html import escape, unescape
from xml.etree.ElementTree import Element

from latex2mathml.converter import convert_to_element

__all__ = ["mathml"]

LONGEST = 4_000  # characters; what is longer is shown as it was written
# fmt: off
ELEMENTS = frozenset((
    "math", "menclose", "mfrac", "mi", "mn", "mo", "mover", "mpadded", "mphantom", "mroot", "mrow",
    "ms", "mspace", "msqrt", "mstyle", "msub", "msubsup", "msup", "mtable", "mtd", "mtext", "mtr",
    "munder", "munderover",
))
ATTRIBUTES = frozenset((
    "accent", "accentunder", "columnalign", "columnlines", "columnspacing", "depth", "display",
    "displaystyle", "fence", "form", "height", "largeop", "linebreak", "linethickness", "lspace",
    "mathcolor", "mathsize", "mathvariant", "maxsize", "minsize", "movablelimits", "notation",
    "rowlines", "rowspacing", "rspace", "scriptlevel", "separator", "stretchy", "symmetric",
    "voffset", "width",
))
# fmt: on
VALUE = re.compile(r"[\w .#%+-]*", re.ASCII)  # neither url(...) nor anything with a scheme


def mathml(latex: str, *, display: bool = False) -> str:
    """The formula as a ``<math>`` element; as code where it cannot be read.

    Args:
        display: on a line of its own, rather than within text.
    """
    if len(latex) <= LONGEST:
        try:
            return _written(convert_to_element(latex, display="block" if display else "inline"))
        except (
            Exception
        ):  # the reader fails in many ways on what is not LaTeX, IndexError among them
            pass
    return f"<code>{escape(latex)}</code>"


def _written(element: Element) -> str:
    inner = escape(unescape(element.text or "")) + "".join(
        _written(child) + escape(unescape(child.tail or "")) for child in element
    )
    if element.tag not in ELEMENTS:
        return inner
    attributes = "".join(
        f' {name}="{value}"'
        for name, value in element.attrib.items()
        if name in ATTRIBUTES and VALUE.fullmatch(value)
    )
    return f"<{element.tag}{attributes}>{inner}</{element.tag}>"
