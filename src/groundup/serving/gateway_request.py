"""What a gateway has to know of a request that it passes on."""

from typing import Any

import msgspec

from groundup.serving.api_error import ApiError
from groundup.serving.request_body import Decoder
from groundup.serving.usage import spending

__all__ = ["GatewayRequest"]

decode = Decoder(dict[str, Any])

PROMPTS = ("instructions", "messages", "prompt", "input")


class GatewayRequest:
    """A request's body; what the gateway does not know of it, the upstream judges."""

    def __init__(self, path: str, body: bytes) -> None:
        """Arguments:
        path: below /v1, as ``/chat/completions``.
        body: as it came.

        Raises:
            ApiError: it is not a JSON object that names a model (400).
        """
        self.path = path
        self.body = body
        self._fields = decode(body)
        model = self._fields.get("model")
        if not isinstance(model, str) or not model:
            raise ApiError(400, f"model: expected a model's name, got {model!r}", param="model")
        self.model = model
        self.streamed = self._fields.get("stream") is True
        # Where a key is charged, the stream's tokens must be known; see `without_usage`.
        options = self._fields.get("stream_options") or {}
        self.adds_usage = (
            self.streamed
            and path in ("/chat/completions", "/completions")
            and spending.get() is not None
            and isinstance(options, dict)
            and not options.get("include_usage")
        )

    def body_for(self, model: str) -> bytes:
        """The body for an upstream that calls the model so."""
        if model == self.model and not self.adds_usage:
            return self.body
        fields = {**self._fields, "model": model}
        if self.adds_usage:
            options = self._fields.get("stream_options") or {}
            fields["stream_options"] = {**options, "include_usage": True}
        return msgspec.json.encode(fields)

    def prompt(self) -> str:
        """Its prompt, for `prefix_affinity`: alike in the beginning where prompts are."""
        parts = [self._fields[name] for name in PROMPTS if name in self._fields]
        return msgspec.json.encode(parts).decode()

    def error_event(self, error: ApiError) -> bytes:
        """How an error in the middle of the stream is written."""
        if self.path != "/responses":
            return b"data: %b\n\n" % error.body()
        detail = msgspec.json.decode(error.body())["error"]
        return b"event: error\ndata: %b\n\n" % msgspec.json.encode({**detail, "type": "error"})
