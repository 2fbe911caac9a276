"""Markdown as HTML that is safe to show, whoever wrote it.

Raw HTML is text. Links go to http, https and mailto alone. Images are links: loading one would tell
its host that the text was read. Formulas become MathML, code is coloured by classes.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from html import escape
from itertools import accumulate, islice

from markdown_it import MarkdownIt
from markdown_it.renderer import RendererHTML
from markdown_it.token import Token
from markdown_it.utils import EnvType, OptionsDict
from mdit_py_plugins.dollarmath import dollarmath_plugin
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexer import Lexer
from pygments.lexers import get_lexer_by_name
from pygments.util import ClassNotFound

from groundup.app.bracket_math import bracket_math_plugin
from groundup.app.mathml import mathml

__all__ = ["GrowingMarkdown", "render"]

SCHEMES = ("http://", "https://", "mailto:")
LONGEST = 100_000  # characters; what is longer is shown as it was written
NEWLINE = re.compile(r"\r\n?|\n")  # as markdown-it counts them
LONGEST_COLOURED = 50_000  # characters of one piece of code


def render(text: str) -> str:
    """The text as HTML: blocks without an element around them.

    Code stands in ``<div class="code">`` with its language and a ``<button class="copy">``, which
    does nothing by itself.
    """
    if len(text) > LONGEST:
        return f"<pre>{escape(text)}</pre>"
    return str(_markdown().render(text))


class GrowingMarkdown:
    """A text that grows at its end, as blocks of HTML: all but the last stay as they are.

    What a reference defines further down is missed; ``render`` of the whole text has it.
    """

    def __init__(self) -> None:
        self.blocks: list[str] = []
        self._open = 0  # where the last block begins in the text

    def update(self, text: str) -> int:
        """Render what the text has become; return the index of the first block that changed."""
        if len(text) > LONGEST:
            self.blocks, self._open = [render(text)], 0
            return 0
        first = max(0, len(self.blocks) - 1)
        tail = text[self._open :]
        markdown = _markdown()
        env: EnvType = {}
        tokens = markdown.parse(tail, env)
        # The nesting after each token: a block ends where it is back at nothing.
        depths = accumulate(token.nesting for token in tokens)
        ends = [i + 1 for i, depth in enumerate(depths) if depth == 0]
        starts = [0, *ends][:-1]
        self.blocks[first:] = [
            markdown.renderer.render(tokens[start:end], markdown.options, env)
            for start, end in zip(starts, ends, strict=True)
        ]
        if len(ends) > 1 and (lines := tokens[starts[-1]].map):
            newlines = list(islice(NEWLINE.finditer(tail), lines[0]))
            self._open += newlines[-1].end()
        return first


@lru_cache(maxsize=1)
def _markdown() -> MarkdownIt:
    markdown = MarkdownIt("commonmark", {"html": False}).enable(["table", "strikethrough"])
    markdown.use(bracket_math_plugin)
    markdown.use(
        dollarmath_plugin,
        allow_labels=False,
        allow_space=False,
        allow_digits=False,
        allow_blank_lines=False,
        double_inline=True,
    )
    markdown.validateLink = _may_link  # type: ignore[method-assign]
    for rule in (
        *(fence, code_block, image, link_open, table_open, table_close),
        *(math_inline, math_inline_double, math_block),
    ):
        markdown.add_render_rule(rule.__name__, rule)
    return markdown


def _may_link(url: str) -> bool:
    return url.strip().lower().startswith(SCHEMES)


@lru_cache(maxsize=64)
def _lexer(language: str) -> Lexer | None:
    try:
        return get_lexer_by_name(language, stripnl=False)
    except ClassNotFound:
        return None


def _code(source: str, language: str) -> str:
    lexer = _lexer(language) if language and len(source) <= LONGEST_COLOURED else None
    coloured = (
        escape(source)
        if lexer is None
        else highlight(source, lexer, HtmlFormatter(nowrap=True, classprefix="hl-"))
    )
    return (
        f'<div class="code"><div class="code-head"><span>{escape(language)}</span>'
        '<button type="button" class="copy">Copy</button></div>'
        f'<pre tabindex="0"><code>{coloured}</code></pre></div>\n'
    )


# What is called below is named as markdown-it names its tokens.


def fence(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return _code(tokens[i].content, tokens[i].info.strip().split(" ")[0][:40])


def code_block(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return _code(tokens[i].content, "")


def link_open(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return _anchor(str(tokens[i].attrs["href"]))


def image(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    source = str(tokens[i].attrs["src"])
    name = escape(tokens[i].content or source)
    within_link = sum((t.type == "link_open") - (t.type == "link_close") for t in tokens[:i])
    return name if within_link else f"{_anchor(source)}{name}</a>"


def _anchor(url: str) -> str:
    return f'<a href="{escape(url)}" target="_blank" rel="noopener noreferrer nofollow">'


def table_open(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return '<div class="table-scroll" tabindex="0"><table>\n'


def table_close(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return "</table></div>\n"


def math_inline(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return mathml(tokens[i].content.strip())


def math_inline_double(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return _displayed(tokens[i].content)


def math_block(
    self: RendererHTML, tokens: Sequence[Token], i: int, options: OptionsDict, env: EnvType
) -> str:
    return _displayed(tokens[i].content) + "\n"


def _displayed(latex: str) -> str:
    return f'<span class="formula" tabindex="0">{mathml(latex.strip(), display=True)}</span>'
