"""GET /v1/models: the model that is served."""

from typing import Literal

import msgspec
from msgspec import Struct
from starlette.types import Scope

from groundup.serving.service import Service

__all__ = ["Model", "ModelList", "list_models", "show_model"]


class Model(Struct):
    id: str
    created: int  # when the server was started
    max_model_len: int  # tokens of prompt and answer together; the name is vLLM's
    owned_by: str = "groundup"
    object: Literal["model"] = "model"


class ModelList(Struct):
    data: list[Model]
    object: Literal["list"] = "list"


def served(service: Service) -> Model:
    return Model(service.engine.model_name, service.started, service.engine.context)


async def list_models(service: Service, _body: bytes, _scope: Scope) -> bytes:
    """The handler of /v1/models."""
    return msgspec.json.encode(ModelList([served(service)]))


async def show_model(service: Service, _body: bytes, scope: Scope) -> bytes:
    """The handler of /v1/models/{id}."""
    service.check_model(scope["path_params"]["id"])
    return msgspec.json.encode(served(service))
