"""A conversation as a file: Markdown to read, JSON with all branches to work with."""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from groundup.app.store.conversations import Conversation
from groundup.app.store.messages import Message

__all__ = ["as_json", "as_markdown", "file_name"]

SPEAKERS = {"user": "You", "assistant": "Answer", "system": "System", "tool": "Tool"}


def as_markdown(conversation: Conversation, path: Sequence[Message]) -> str:
    """The branch that is shown, to read."""
    parts = [f"# {conversation.title}", f"*{_day(conversation.created)} · {conversation.model}*"]
    if conversation.system:
        parts.append("\n".join(f"> {line}" for line in conversation.system.splitlines()))
    for message in path:
        parts += [f"## {SPEAKERS[message.role]}", message.content]
        if message.state in ("failed", "stopped"):
            parts.append(f"*({message.state})*")
    return "\n\n".join(part for part in parts if part) + "\n"


def as_json(conversation: Conversation, tree: Sequence[Message], ratings: Mapping[str, int]) -> str:
    """All of it: each message names its parent, and with it the branches."""
    messages: list[dict[str, Any]] = []
    for message in tree:
        fields = asdict(message)
        del fields["siblings"], fields["conversation_id"]
        messages.append(fields | {"rating": ratings.get(message.id)})
    whole = {"conversation": asdict(conversation), "messages": messages}
    return json.dumps(whole, ensure_ascii=False, indent=1) + "\n"


def file_name(conversation: Conversation, extension: str) -> str:
    """A name that every file system takes."""
    name = re.sub(r"[^\w-]+", "-", conversation.title.lower()).strip("-_")[:60]
    return f"{name or 'conversation'}.{extension}"


def _day(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).date().isoformat()
