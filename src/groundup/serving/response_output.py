"""Builds a response's output items from an answer's text and calls, and tells each step."""

from collections.abc import Iterator, Sequence
from typing import Any, Literal
from uuid import uuid4

from groundup.serving.responses_schema import FunctionCallItem, OutputMessage, OutputText
from groundup.serving.tool_calls import Call, Event

__all__ = ["ResponseOutput", "Step"]

Step = tuple[str, dict[str, Any]]  # an event's type, and its fields


class ResponseOutput:
    """Messages and calls, in the order in which the model wrote them."""

    def __init__(self) -> None:
        self.items: list[OutputMessage | FunctionCallItem] = []
        self._open = False  # whether the last item goes on

    def take(self, events: Sequence[Event]) -> Iterator[Step]:
        """Add what the model wrote."""
        for event in events:
            if isinstance(event, str):
                yield from self._text(event)
            elif isinstance(event, Call):
                yield from self._close("completed")
                call = FunctionCallItem(
                    f"fc_{uuid4().hex}", event.id, event.name, "", "in_progress"
                )
                yield self._begin(call)
            else:
                item = self.items[-1]
                assert isinstance(item, FunctionCallItem)
                item.arguments += event.json
                yield (
                    "response.function_call_arguments.delta",
                    {**self._place(), "delta": event.json},
                )

    def finish(self, status: Literal["completed", "incomplete"]) -> Iterator[Step]:
        """The answer has ended. One in which nothing was written is an empty message."""
        if not self.items:
            yield from self._begin_message()
        yield from self._close(status)

    def _place(self) -> dict[str, Any]:
        return {"item_id": self.items[-1].id, "output_index": len(self.items) - 1}

    def _begin(self, item: OutputMessage | FunctionCallItem) -> Step:
        self.items.append(item)
        self._open = True
        return "response.output_item.added", {"output_index": len(self.items) - 1, "item": item}

    def _begin_message(self) -> Iterator[Step]:
        yield from self._close("completed")
        yield self._begin(OutputMessage(f"msg_{uuid4().hex}", "in_progress", []))
        part = OutputText("")
        yield "response.content_part.added", {**self._place(), "content_index": 0, "part": part}
        message = self.items[-1]
        assert isinstance(message, OutputMessage)
        message.content.append(part)

    def _text(self, text: str) -> Iterator[Step]:
        if not self._open or not isinstance(self.items[-1], OutputMessage):
            yield from self._begin_message()
        message = self.items[-1]
        assert isinstance(message, OutputMessage)
        message.content[0].text += text
        yield (
            "response.output_text.delta",
            {**self._place(), "content_index": 0, "delta": text, "logprobs": []},
        )

    def _close(self, status: Literal["completed", "incomplete"]) -> Iterator[Step]:
        if not self._open:
            return
        self._open = False
        item = self.items[-1]
        item.status = status
        if isinstance(item, OutputMessage):
            [part] = item.content
            place = {**self._place(), "content_index": 0}
            yield "response.output_text.done", {**place, "text": part.text, "logprobs": []}
            yield "response.content_part.done", {**place, "part": part}
        else:
            yield (
                "response.function_call_arguments.done",
                {**self._place(), "name": item.name, "arguments": item.arguments},
            )
        yield "response.output_item.done", {"output_index": len(self.items) - 1, "item": item}
