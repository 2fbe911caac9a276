"""The answers that one may want to look into: the newest of each of a user's conversations."""

from dataclasses import dataclass

from groundup.app.store.messages import Message
from groundup.app.store.store import Store

__all__ = ["RecentAnswer", "recent_answers", "source_messages"]


@dataclass(frozen=True)
class RecentAnswer:
    """An answer, and the conversation that it ends for now."""

    title: str
    message: Message


def recent_answers(store: Store, user: str, most: int = 15) -> list[RecentAnswer]:
    """Those of the conversations that changed last, the newest first."""
    found = []
    for conversation in store.conversations.all(user)[:most]:
        path = store.messages.path(user, conversation.id)
        answers = [message for message in path if message.role == "assistant" and message.content]
        running = [message for message in path[-1:] if message.state == "streaming"]
        for message in running or answers[-1:]:
            found.append(RecentAnswer(conversation.title, message))
    return found


def source_messages(store: Store, user: str, answer: Message) -> tuple[tuple[str, str], ...]:
    """Role and content of all that the model read for an answer, and the answer itself."""
    conversation = store.conversations.get(user, answer.conversation_id)
    path = store.messages.path(user, answer.conversation_id, answer.id)
    messages = [(m.role, m.content) for m in path if m.content]
    system = [("system", conversation.system)] if conversation.system else []
    return (*system, *messages)
