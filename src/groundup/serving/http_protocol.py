"""Uvicorn's HTTP protocol with an end to waiting for slow clients."""

from asyncio import TimerHandle, Transport
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedHttpProtocol"]


class BoundedHttpProtocol(HttpToolsProtocol):
    """Ends connections whose head does not come, does not end, or whose reader stands still.

    Uvicorn itself waits without limit for the head of a request, however long it grows, and for a
    client that does not take its answer: each such connection could hold memory, or an answer's
    place in the engine, for ever.
    """

    head_deadline = 10.0  # seconds from the first byte, or from the connection, to the head's end
    head_limit = 64 * 1024  # bytes
    write_deadline = 30.0  # seconds that an answer waits for its reader

    def __init__(self, *arguments: Any, **named: Any) -> None:
        super().__init__(*arguments, **named)
        self._head_bytes = 0
        self._head_timer: TimerHandle | None = None
        self._write_timer: TimerHandle | None = None

    def connection_made(self, transport: Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._cancel_timers()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._await_head()  # whatever came, it is not yet a request
        if self._head_timer is not None:
            self._head_bytes += len(data)
        super().data_received(data)
        # A timer that is still there: the head goes on, and is longer than all bytes of this read
        # and the ones before it.
        if self._head_timer is not None and self._head_bytes > self.head_limit:
            self.send_400_response("The request's head is too long.")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._await_head()

    def on_headers_complete(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None
        super().on_headers_complete()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._write_timer = self.loop.call_later(self.write_deadline, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None

    def _await_head(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(self.head_deadline, self._close_unless_busy)

    def _close_unless_busy(self) -> None:
        self._head_timer = None
        if not self.transport.is_closing():
            self.transport.close()

    def _cancel_timers(self) -> None:
        for timer in (self._head_timer, self._write_timer):
            if timer is not None:
                timer.cancel()
        self._head_timer = self._write_timer = None
