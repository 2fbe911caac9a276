r"""A markdown-it plugin: formulas in ``\( \)`` and ``\[ \]``, as models like to write them.

Tokens are those of the dollarmath plugin. Unlike texmath's rules for brackets, these take a time in
proportion to the text, whatever the text.
"""

from markdown_it import MarkdownIt
from markdown_it.rules_block import StateBlock
from markdown_it.rules_inline import StateInline

__all__ = ["bracket_math_plugin"]

CLOSERS = {"\\(": "\\)", "\\[": "\\]"}


def bracket_math_plugin(markdown: MarkdownIt) -> None:
    markdown.inline.ruler.before("escape", "bracket_math", _inline)
    ends = ["paragraph", "reference", "blockquote", "list"]  # what such a formula ends
    markdown.block.ruler.before("fence", "bracket_math_block", _block, {"alt": ends})


def _inline(state: StateInline, silent: bool) -> bool:
    opener = state.src[state.pos : state.pos + 2]
    closer = CLOSERS.get(opener)
    if closer is None:
        return False
    # What has no end is remembered: looking for it at every opener takes quadratic time.
    unclosed = state.env.setdefault("unclosed", set())
    end = -1 if (state.src, closer) in unclosed else state.src.find(closer, state.pos + 2)
    if end < 0:
        unclosed.add((state.src, closer))
        return False
    if not silent:
        name = "math_inline" if opener == "\\(" else "math_inline_double"
        state.push(name, "math", 0).content = state.src[state.pos + 2 : end]
    state.pos = end + 2
    return True


def _block(state: StateBlock, start: int, end: int, silent: bool) -> bool:
    if state.is_code_block(start) or not _line(state, start).startswith("\\["):
        return False
    for last in range(start, end):
        line = _line(state, last).rstrip()
        # Within a quotation or a list, a line that is less indented is no longer in it.
        if not line or (last > start and state.sCount[last] < state.blkIndent):
            return False
        if line.endswith("\\]"):
            break
        if last > start and line.startswith("\\["):
            return False
    else:
        return False
    if not silent:
        token = state.push("math_block", "math", 0)
        token.content = state.getLines(start, last + 1, state.sCount[start], False).strip()[2:-2]
        token.block, token.map = True, [start, last + 1]
        state.line = last + 1
    return True


def _line(state: StateBlock, line: int) -> str:
    return state.src[state.bMarks[line] + state.tShift[line] : state.eMarks[line]]
