"""POST /v1/embeddings: one vector for each text."""

import base64
from typing import Annotated, Literal

import msgspec
import numpy as np
from msgspec import Meta, Struct
from starlette.types import Scope

from groundup.errors import GroundupError
from groundup.serving.api_error import ApiError
from groundup.serving.completion_schema import Id
from groundup.serving.request_body import Decoder
from groundup.serving.service import Service
from groundup.serving.texts_or_ids import prompts_of
from groundup.serving.traces import current_trace
from groundup.serving.usage import count_tokens

__all__ = ["Embeddings", "EmbeddingsRequest", "embeddings"]


class EmbeddingsRequest(Struct, forbid_unknown_fields=True):
    model: str
    input: (
        str
        | Annotated[
            list[str | Id | Annotated[list[Id], Meta(min_length=1)]],
            Meta(min_length=1, max_length=2048),
        ]
    )
    encoding_format: Literal["float", "base64"] | None = None
    user: str | None = None


class Embedding(Struct):
    index: int
    embedding: list[float] | str  # base64 of little-endian float32
    object: Literal["embedding"] = "embedding"


class EmbeddingsUsage(Struct):
    prompt_tokens: int
    total_tokens: int


class Embeddings(Struct):
    data: list[Embedding]
    model: str
    usage: EmbeddingsUsage
    object: Literal["list"] = "list"


decode = Decoder(EmbeddingsRequest)


async def embeddings(service: Service, body: bytes, _scope: Scope) -> bytes:
    """The handler of the route."""
    request = decode(body)
    if service.adapter_of(request.model) is not None:
        raise ApiError(
            400,
            f"{request.model!r} is an adapter, and embeddings are the model's own: ask for "
            f"{service.engine.model_name!r}",
            param="model",
        )
    prompts = await prompts_of(request.input, service.prompts, special=False, param="input")
    places = await service.admission.enter(1)
    try:
        vectors = await service.engine.embed(prompts)
    except GroundupError as error:
        raise ApiError(400, str(error), param="input") from None
    finally:
        service.admission.leave(places)
    tokens = sum(map(len, prompts))
    service.metrics.prompt_tokens.inc(tokens)
    if (trace := current_trace.get()) is not None:
        trace.used(tokens)
    count_tokens(tokens)
    data = [
        Embedding(
            i,
            base64.b64encode(vector.astype(np.dtype("<f4")).tobytes()).decode()
            if request.encoding_format == "base64"
            else vector.tolist(),
        )
        for i, vector in enumerate(vectors)
    ]
    usage = EmbeddingsUsage(tokens, tokens)
    return msgspec.json.encode(Embeddings(data, service.engine.model_name, usage))
