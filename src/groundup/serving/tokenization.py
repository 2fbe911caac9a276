"""POST /tokenize and /detokenize: texts or conversations to token ids, and back. As in vLLM."""

from typing import Annotated

import msgspec
from msgspec import Meta, Struct
from starlette.types import Scope

from groundup.serving.api_error import ApiError
from groundup.serving.completion_schema import Id
from groundup.serving.messages import Message
from groundup.serving.request_body import Decoder
from groundup.serving.service import Service

__all__ = [
    "DetokenizeRequest",
    "Detokenized",
    "TokenizeRequest",
    "Tokenized",
    "detokenize",
    "tokenize",
]


class TokenizeRequest(Struct, forbid_unknown_fields=True):
    """Either a text or a conversation."""

    prompt: str | None = None
    messages: Annotated[list[Message], Meta(min_length=1)] | None = None
    model: str | None = None
    add_special_tokens: bool = True  # False takes special tokens in the text for plain text
    add_generation_prompt: bool = True
    return_token_strs: bool = False


class Tokenized(Struct):
    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None


class DetokenizeRequest(Struct, forbid_unknown_fields=True):
    tokens: list[Id]
    model: str | None = None


class Detokenized(Struct):
    prompt: str


decode_text = Decoder(TokenizeRequest)
decode_ids = Decoder(DetokenizeRequest)


async def tokenize(service: Service, body: bytes, _scope: Scope) -> bytes:
    """The handler of /tokenize."""
    request = decode_text(body)
    if request.model is not None:
        service.check_model(request.model)
    if (request.prompt is None) == (request.messages is None):
        raise ApiError(400, "expected either prompt or messages", param="prompt")
    ids: tuple[int, ...] = ()
    if request.messages is not None:
        ids = await service.prompts.chat(request.messages, (), request.add_generation_prompt)
    elif request.prompt:
        special = request.add_special_tokens
        ids = await service.prompts.text(request.prompt, special=special, param="prompt")
    names = None
    if request.return_token_strs:
        names = [service.engine.tokenizer.token_of(i) for i in ids]
    return msgspec.json.encode(Tokenized(len(ids), service.engine.context, list(ids), names))


async def detokenize(service: Service, body: bytes, _scope: Scope) -> bytes:
    """The handler of /detokenize."""
    request = decode_ids(body)
    if request.model is not None:
        service.check_model(request.model)
    if request.tokens:
        service.prompts.fitting(request.tokens, "tokens")
    return msgspec.json.encode(Detokenized(service.engine.tokenizer.decode(request.tokens)))
