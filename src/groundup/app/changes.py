"""Who is told of what: pages listen to conversations and users, and hear of what others change."""

from collections import defaultdict
from collections.abc import Callable, Hashable
from typing import Generic, TypeVar

__all__ = ["Changes"]

Event = TypeVar("Event")


class Changes(Generic[Event]):
    """Listeners by topic. All of it happens in one event loop."""

    def __init__(self) -> None:
        self._listeners: defaultdict[Hashable, list[Callable[[Event], None]]] = defaultdict(list)

    def listen(self, topic: Hashable, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Call it at each event of the topic. Returns what ends that, once."""
        self._listeners[topic].append(listener)

        def end() -> None:
            if listener in self._listeners.get(topic, ()):
                self._listeners[topic].remove(listener)
                if not self._listeners[topic]:
                    del self._listeners[topic]

        return end

    def heard(self, topic: Hashable) -> bool:
        """Whether anybody listens."""
        return topic in self._listeners

    def tell(self, topic: Hashable, event: Event) -> None:
        """Call the topic's listeners, as they are now."""
        for listener in tuple(self._listeners.get(topic, ())):
            listener(event)
