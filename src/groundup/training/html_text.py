"""The text of an HTML page, without its navigation."""

from html.parser import HTMLParser

__all__ = ["html_text"]

HIDDEN = {"head", "script", "style", "nav", "header", "footer", "form", "svg"}
BLOCKS = {
    *("p", "div", "section", "article", "main", "br", "tr", "pre", "blockquote", "hr"),
    *("h1", "h2", "h3", "h4", "h5", "h6", "ul", "ol", "li", "dl", "dt", "dd", "table"),
}


def html_text(page: str) -> str:
    """What a reader sees, one block a line, blank lines between paragraphs.

    A page that marks its content (``<main>``, or an element of the role ``main``) gives that alone.
    """
    reader = _Reader()
    reader.feed(page)
    reader.close()
    marked = "".join(reader.main)
    text = marked if marked.strip() else "".join(reader.all)
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for i, line in enumerate(lines) if line or (i and lines[i - 1])]
    return "\n".join(kept).strip() + "\n"


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.all: list[str] = []
        self.main: list[str] = []
        self.hidden = 0  # how many hidden elements we are in
        self.in_main: list[bool] = []  # for each open element of the kind that holds the content
        self.main_tag = ""
        self.pre = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in HIDDEN:
            self.hidden += 1
        if tag in BLOCKS:
            self.put("\n- " if tag == "li" else "\n")
        self.pre += tag == "pre"
        if not self.main_tag and (tag == "main" or ("role", "main") in attrs):
            self.main_tag = tag
        if tag == self.main_tag:
            self.in_main.append(True)

    def handle_endtag(self, tag: str) -> None:
        if tag in HIDDEN:
            self.hidden = max(0, self.hidden - 1)
        if tag in BLOCKS:
            self.put("\n")
        self.pre = max(0, self.pre - (tag == "pre"))
        if tag == self.main_tag and self.in_main:
            self.in_main.pop()

    def handle_data(self, data: str) -> None:
        if self.pre:
            self.put(data)
        elif words := data.split():  # line breaks in the source are spaces
            before = " " if data[0].isspace() else ""
            after = " " if data[-1].isspace() else ""
            self.put(before + " ".join(words) + after)
        elif data:
            self.put(" ")

    def put(self, text: str) -> None:
        if not self.hidden:
            self.all.append(text)
            if self.in_main:
                self.main.append(text)
