"""Markdown that is safe to show, whoever wrote it."""

from html.parser import HTMLParser
from time import process_time
from xml.etree.ElementTree import fromstring

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from groundup.app import mathml as module
from groundup.app.markdown import GrowingMarkdown, render
from groundup.app.mathml import ELEMENTS, mathml

VOID = {"br", "hr"}
ALLOWED = ELEMENTS | frozenset(
    ("a", "blockquote", "br", "button", "code", "div", "em", "h1", "h2", "h3", "h4", "h5", "h6",
     "hr", "li", "ol", "p", "pre", "s", "span", "strong", "table", "tbody", "td", "th", "thead",
     "tr", "ul")
)  # fmt: skip
BANNED = ("src", "srcset", "srcdoc", "action", "formaction", "id", "xlink:href")


class Reader(HTMLParser):
    """Reads HTML as a browser would, and holds it to what may be there."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.links: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        for name, value in attrs:
            assert not name.startswith("on"), name
            assert name not in BANNED
            if name == "href":
                assert tag == "a"
                assert value is not None
                self.links.append(value)
            if name == "style":
                assert value in ("text-align:left", "text-align:right", "text-align:center")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"a comment: {data}")


def read(html: str) -> Reader:
    """Hold HTML to what may be there; return what it says."""
    reader = Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    assert all(link.lower().startswith(("http://", "https://", "mailto:")) for link in reader.links)
    return reader


ATTACKS = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "[x](javascript:alert(1))",
    "[x](JaVaScRiPt:alert(1))",
    "[x](java\nscript:alert(1))",
    "[x](&#106;avascript:alert(1))",
    "[x](\x01javascript:alert(1))",
    "[x](data:text/html;base64,PHNjcmlwdD4=)",
    "[x](vbscript:x)",
    "[x](//evil.example)",
    "[x](file:///etc/passwd)",
    '[x](https://a.example/"onmouseover="alert(1))',
    "[x]: javascript:alert(1)\n\n[x]",
    "![x](javascript:alert(1))",
    '![" onerror="alert(1)](https://a.example/x.png)',
    "[![x](https://a.example/y)](https://a.example/z)",
    "<javascript:alert(1)>",
    '<https://a.example/"onclick=alert(1)>',
    '```"><script>alert(1)</script>\nx\n```',
    "```python\n</code></pre><script>alert(1)</script>\n```",
    "    <script>alert(1)</script>",
    "`<script>`",
    "| <script> | b |\n|---|:-:|\n| <img> | x |",
    r"$\text{<script>alert(1)</script>}$",
    r"$\text{&lt;script&gt;}$",
    r"$\href{javascript:alert(1)}{x}$",
    r"$$\style{background:url(https://evil.example)}{x}$$",
    r"$\class{x" + '"' + r" onclick=alert(1)}{y}$",
    r"$\color{url(https://evil.example)}{x}$",
    r"\(\mathrm{</mtext><script>}\)",
    r"\[ <img src=x> \]",
    "<!-- x --> <![CDATA[ x ]]> <?x?> <!x>",
    "</div></main><h1>x",
]


@pytest.mark.parametrize("text", ATTACKS)
def test_nothing_executes(text: str) -> None:
    read(render(text))
    growing = GrowingMarkdown()
    for end in range(len(text) + 1):
        growing.update(text[:end])
        read("".join(growing.blocks))


MARKUP = st.lists(
    st.sampled_from(
        ["<script>", "<b ", 'on="', "](", "![", "[", "]", "(", ")", "javascript:", "https://a.b",
         "$", "$$", "\\(", "\\)", "\\[", "\\]", "\\text{", "\\href{", "}", "`", "```", "\n", "\n\n",
         "|", "|-|", "- ", "> ", "# ", "**", "_", "&lt;", "&#x3c;", "\\", "x", " ", "1. ", "    "]
    ),
    max_size=40,
).map("".join)  # fmt: skip


@given(MARKUP)
def test_nothing_executes_whatever_is_written(text: str) -> None:
    read(render(text))


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("a **b** _c_ ~~d~~", "<p>a <strong>b</strong> <em>c</em> <s>d</s></p>\n"),
        ("a < b & c", "<p>a &lt; b &amp; c</p>\n"),
        (
            "[a](https://a.example)",
            '<p><a href="https://a.example" target="_blank" rel="noopener noreferrer nofollow">a'
            "</a></p>\n",
        ),
        (
            "![a *b*](https://a.example/c.png)",
            '<p><a href="https://a.example/c.png" target="_blank" '
            'rel="noopener noreferrer nofollow">a *b*</a></p>\n',
        ),
    ],
)
def test_text(text: str, html: str) -> None:
    assert render(text) == html


def test_code_is_coloured_and_can_be_copied() -> None:
    html = render("```python\ndef f():\n    return '<b>'\n```")
    assert '<span class="hl-k">def</span>' in html
    assert '<button type="button" class="copy">Copy</button>' in html
    assert "<span>python</span>" in html
    assert read(html).text.endswith("def f():\n    return '<b>'\n\n")
    assert "hl-" not in render("```nosuchlanguage\nx\n```")
    assert "hl-" not in render("```python\n" + "x = 1\n" * 10_000 + "```")


def test_tables_scroll_by_themselves() -> None:
    html = render("| a | b |\n|--:|---|\n| 1 | 2 |")
    assert html.startswith('<div class="table-scroll" tabindex="0"><table>')
    assert '<td style="text-align:right">1</td>' in html


@pytest.mark.parametrize("text", ["$x^2$", r"\(x^2\)", "so $x^2$ is", r"- \(x^2\)"])
def test_formulas_in_text(text: str) -> None:
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in render(text)
    assert 'display="inline"' in render(text)


@pytest.mark.parametrize(
    "text",
    ["$$\nx^2\n$$", "\\[\nx^2\n\\]", "\\[ x^2 \\]", "so\n\\[\nx^2\n\\]\nis", "> \\[ x^2\n> \\]",
     "see \\[ x^2 \\] here", "- a\n\n  \\[\n  x^2\n  \\]"],
)  # fmt: skip
def test_formulas_on_their_own(text: str) -> None:
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in render(text)
    assert 'display="block"' in render(text)


@pytest.mark.parametrize(
    "text", ["$5 and $10", r"\( open", "\\[\n\nx\n\\]", "    \\[ x \\]", "`$x$`"]
)
def test_no_formulas(text: str) -> None:
    assert "<math" not in render(text)


@pytest.mark.parametrize("latex", ["{{{", r"\frac", "}", r"\begin{x}", "x" * 5_000, "{" * 2_000])
def test_what_is_no_latex_is_shown_as_it_is(latex: str) -> None:
    assert read(mathml(latex)).text == latex


def test_known_formula() -> None:
    assert mathml(r"\sqrt{D}", display=True) == (
        '<math display="block"><mrow><msqrt><mrow><mi>D</mi></mrow></msqrt></mrow></math>'
    )
    assert "≤" in mathml(r"a \le b")  # not the reference that latex2mathml writes


def test_only_known_elements_are_written(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever a later version of the reader may make of a formula."""
    tree = fromstring('<math><script src="x">a<mi onclick="x">b</mi></script>c</math>')
    monkeypatch.setattr(module, "convert_to_element", lambda *_, **__: tree)
    assert mathml("x") == "<math>a<mi>b</mi>c</math>"


def test_a_text_without_end_is_shown_as_it_was_written() -> None:
    text = "**a** <b>" * 20_000
    assert read(render(text)).text == text
    growing = GrowingMarkdown()
    growing.update(text)
    assert growing.blocks == [render(text)]


LONG = """# Title

A paragraph with **bold
text** and `code`.

- one

- two
  - three

1. x

```python
def f():

    return 1
```

| a | b |
|---|---|
| 1 | $x$ |

> quoted
still

$$
a = b
$$

Setext
===
"""
# What a later line decides about an earlier block is known at the end alone.
BACKWARDS = ("]:", "\\[", "$$")


@given(MARKUP.filter(lambda text: not any(mark in text for mark in BACKWARDS)), st.data())
@example(LONG, None)
def test_a_growing_text_comes_to_the_same(text: str, data: st.DataObject | None) -> None:
    ends = st.sets(st.integers(0, len(text)))
    cuts = range(len(text)) if data is None else sorted(data.draw(ends))
    growing, before = GrowingMarkdown(), 0
    shown: list[str] = []
    for end in (*cuts, len(text)):
        first = growing.update(text[:end])
        assert growing.blocks[:first] == shown[:first]  # a page may keep them
        assert first >= before - 1
        shown, before = list(growing.blocks), len(growing.blocks)
    assert "".join(growing.blocks) == render(text)


def test_a_growing_text_costs_no_more_where_it_is_longer() -> None:
    growing, parsed = GrowingMarkdown(), 0
    text = ""
    for _ in range(200):
        text += "some words **and** more\n\n"
        growing.update(text)
        parsed = max(parsed, len(text) - growing._open)
    assert parsed <= 60  # characters: the last block, and the one before it at most
    assert len(growing.blocks) == 200


@pytest.mark.parametrize(
    "unit",
    ["\\( ", "\\[\n", "\\[ a\n\n", "\\[ x\n", "[", "![", "[a](", "$a ", "$$\n", "*a", "<a "],
)
def test_time_grows_with_the_length_alone(unit: str) -> None:
    def cost(n: int) -> float:
        costs = []
        for _ in range(2):
            start = process_time()
            render(unit * n)
            costs.append(process_time() - start)
        return min(costs)

    assert cost(3_200) < 9 * cost(800)  # 4 times; of quadratic time, 16
