"""Into which pieces the tokenizer cuts a text."""

from html import escape
from typing import TYPE_CHECKING, Any

from groundup.app.picture import Picture, Text

if TYPE_CHECKING:
    from groundup.models.load import LoadedModel

__all__ = ["PICTURE", "compute"]


def compute(loaded: "LoadedModel", text: str) -> dict[str, Any]:
    """The pieces in order: id, bytes as text, and the bytes of the text that they stand for.

    Raises:
        ValueError: there is no text.
    """
    if not text:
        raise ValueError("write something to cut into pieces")
    pieces, start = [], 0
    for id in loaded.tokenizer.encode(text, special=False):
        content = loaded.tokenizer.bytes_of(id)
        try:
            shown = content.decode()
        except UnicodeDecodeError:  # a part of a character
            shown = content.hex(" ")
        pieces.append({"id": id, "text": shown, "start": start, "end": start + len(content)})
        start += len(content)
    return {"pieces": pieces, "bytes": len(text.encode()), "characters": len(text)}


def html(found: dict[str, Any]) -> str:
    """A box for each piece, and a table."""
    pieces = found["pieces"]
    boxes = "".join(
        f"<li><b>{escape(visible(p['text']))}</b><span>{p['id']}</span></li>" for p in pieces
    )
    rows = "".join(
        f"<tr><td>{escape(visible(p['text']))}</td><td class='number'>{p['id']}</td>"
        f"<td class='number'>{p['start']} to {p['end']}</td></tr>"
        for p in pieces
    )
    return (
        f"<p><strong>{len(pieces)} tokens</strong> for {found['characters']} characters, "
        f"{found['bytes']} bytes: {found['bytes'] / len(pieces):.1f} bytes a token.</p>"
        f"<ol class='pieces' aria-label='Pieces'>{boxes}</ol>"
        "<details><summary>As a table</summary><table class='table'><thead><tr>"
        "<th scope='col'>Piece</th><th scope='col' class='number'>Id</th>"
        f"<th scope='col' class='number'>Bytes</th></tr></thead><tbody>{rows}</tbody></table>"
        "</details>"
    )


def visible(text: str) -> str:
    return text.replace(" ", "·").replace("\n", "↵").replace("\t", "⇥")


PICTURE = Picture(
    "byte-pair-encoding",
    "The model's own tokenizer cuts your text. Try a long word, digits, another script, an emoji.",
    (Text("text", "Text", "Tokenisation isn't obvious: 2026, naïve, 🙂."),),
    html,
)
