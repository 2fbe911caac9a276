"""GET /v1/models: the model that is served, and its adapters. As in vLLM."""

from typing import Literal

import msgspec
from msgspec import Struct
from starlette.types import Scope

from groundup.serving.service import Service

__all__ = ["Model", "ModelList", "list_models", "show_model"]


class Model(Struct):
    id: str
    created: int  # when the server was started
    max_model_len: int  # tokens of prompt and answer together
    root: str  # where it comes from
    parent: str | None  # of an adapter: the model that it adds to
    owned_by: str = "groundup"
    object: Literal["model"] = "model"


class ModelList(Struct):
    data: list[Model]
    object: Literal["list"] = "list"


def served(service: Service) -> list[Model]:
    engine, started = service.engine, service.started
    return [
        Model(engine.model_name, started, engine.context, engine.model_name, None),
        *(
            Model(name, started, engine.context, folder, engine.model_name)
            for name, folder in engine.adapters.items()
        ),
    ]


async def list_models(service: Service, _body: bytes, _scope: Scope) -> bytes:
    """The handler of /v1/models."""
    return msgspec.json.encode(ModelList(served(service)))


async def show_model(service: Service, _body: bytes, scope: Scope) -> bytes:
    """The handler of /v1/models/{id}."""
    name = scope["path_params"]["id"]
    service.check_model(name)
    return msgspec.json.encode(next(model for model in served(service) if model.id == name))
