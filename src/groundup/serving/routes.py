"""Every path that the server answers, with what it takes and gives."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope

from groundup.serving.answer_cache import Answer
from groundup.serving.chat_completions import chat_completions
from groundup.serving.chat_schema import ChatCompletion, ChatRequest
from groundup.serving.completion_schema import Completion, CompletionRequest
from groundup.serving.completions import completions
from groundup.serving.embeddings import Embeddings, EmbeddingsRequest, embeddings
from groundup.serving.inside import Inside, inside
from groundup.serving.model_list import Model, ModelList, list_models, show_model
from groundup.serving.probes import Status, health, metrics, ready
from groundup.serving.responses import responses
from groundup.serving.responses_schema import Response, ResponsesRequest
from groundup.serving.service import Service
from groundup.serving.tokenization import (
    Detokenized,
    DetokenizeRequest,
    Tokenized,
    TokenizeRequest,
    detokenize,
    tokenize,
)

__all__ = ["ROUTES", "ServedRoute"]


@dataclass(frozen=True)
class ServedRoute:
    """One path and its handler; the types are what the OpenAPI document says of it."""

    path: str  # {id} stands for the rest of the path
    method: str
    handler: Callable[[Service, bytes, Scope], Awaitable[Answer]]
    summary: str
    response: Any  # the type of its JSON; str is plain text
    request: Any = None  # the type of the JSON body
    streams: bool = False  # the body's "stream" asks for server-sent events
    kept: bool = False  # answers may be kept, and told again
    probe: bool = False  # answered without a key, and while the server is not ready
    operation: str | None = None  # OpenTelemetry's name for what a model does here


ROUTES = (
    ServedRoute(
        "/v1/chat/completions",
        "POST",
        chat_completions,
        "The next message of a conversation",
        ChatCompletion,
        ChatRequest,
        streams=True,
        kept=True,
        operation="chat",
    ),
    ServedRoute(
        "/v1/completions",
        "POST",
        completions,
        "The continuation of texts",
        Completion,
        CompletionRequest,
        streams=True,
        kept=True,
        operation="text_completion",
    ),
    ServedRoute(
        "/v1/responses",
        "POST",
        responses,
        "The next message of a conversation, in OpenAI's newer form",
        Response,
        ResponsesRequest,
        streams=True,
        kept=True,
        operation="chat",
    ),
    ServedRoute(
        "/v1/embeddings",
        "POST",
        embeddings,
        "A vector for each text",
        Embeddings,
        EmbeddingsRequest,
        kept=True,
        operation="embeddings",
    ),
    ServedRoute("/v1/models", "GET", list_models, "The models that are served", ModelList),
    ServedRoute("/v1/models/{id}", "GET", show_model, "One model", Model),
    ServedRoute("/tokenize", "POST", tokenize, "A text's token ids", Tokenized, TokenizeRequest),
    ServedRoute(
        "/detokenize", "POST", detokenize, "Token ids' text", Detokenized, DetokenizeRequest
    ),
    ServedRoute("/health", "GET", health, "The process answers", Status, probe=True),
    ServedRoute("/ready", "GET", ready, "Requests are taken", Status, probe=True),
    ServedRoute("/inside", "GET", inside, "The engines' last steps, and their caches", Inside),
    ServedRoute("/metrics", "GET", metrics, "Figures for Prometheus", str),
)
