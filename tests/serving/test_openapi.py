"""The OpenAPI document against the server itself: schemathesis makes requests from the one."""

from typing import Any

import httpx
import jsonschema
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.specs.openapi.checks import positive_data_acceptance

from groundup.serving.app import create_app
from groundup.serving.callers import Callers
from groundup.serving.intake import IntakeSettings
from groundup.serving.routes import ROUTES, ServedRoute
from groundup.serving.service import Service

POSITIVE = schemathesis.GenerationMode.POSITIVE


@pytest.fixture(scope="module")
def schema(scripted_engine_class: Any) -> Any:
    app = create_app(Service(scripted_engine_class(context=300), IntakeSettings()))
    return schemathesis.openapi.from_asgi("/openapi.json", app)


@pytest.mark.parametrize(
    ("route", "mode"),
    [
        pytest.param(route, mode, id=f"{route.path} {mode.value}")
        for route in ROUTES
        for mode in schemathesis.GenerationMode
        if mode is POSITIVE or route.request is not None  # a GET takes nothing that could be wrong
    ],
)
@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    suppress_health_check=list(HealthCheck),
)
@given(data=st.data())
def test_requests_made_from_the_document(
    schema: Any, route: ServedRoute, mode: schemathesis.GenerationMode, data: st.DataObject
) -> None:
    """Valid ones and invalid ones; statuses, types and answers must be as documented.

    A valid one may still be refused: that texts fit the context, or that a tool was offered which
    is chosen, is nothing that a schema can say.
    """
    case = data.draw(schema[route.path][route.method].as_strategy(generation_mode=mode))
    if isinstance(case.body, dict) and isinstance(case.body.get("model"), str):
        case.body["model"] = "scripted"  # or nearly all of them would end with 404
    case.call_and_validate(excluded_checks=[positive_data_acceptance])


def test_all_routes_are_in_the_document(running: Any) -> None:
    document = httpx.get(f"{running.url}/openapi.json").json()
    described = {(path, m.upper()) for path, item in document["paths"].items() for m in item}
    assert described == {(route.path, route.method) for route in ROUTES}
    statuses = set(document["paths"]["/v1/chat/completions"]["post"]["responses"])
    assert statuses == {"200", "400", "401", "404", "408", "413", "429", "500", "503"}
    chat = document["components"]["schemas"]["ChatRequest"]
    assert chat["additionalProperties"] is False
    assert chat["required"] == ["model", "messages"]


def test_real_answers_fit_the_document(running: Any, engine: Any) -> None:
    """With calls, log-probabilities and several answers, which chance does not bring about."""
    document = httpx.get(f"{running.url}/openapi.json").json()
    function = {"name": "f", "parameters": {"type": "object"}}
    tools = [{"type": "function", "function": function}]
    engine.text = 'x <tool_call>{"name": "f", "arguments": {}}</tool_call>'
    chat = {"messages": [{"role": "user", "content": "x"}], "tools": tools}
    for path, body in (
        ("/v1/chat/completions", chat | {"logprobs": True, "top_logprobs": 2, "n": 2}),
        ("/v1/completions", {"prompt": "x", "logprobs": 2}),
        ("/v1/responses", {"input": "x", "tools": [{"type": "function"} | function]}),
        ("/v1/embeddings", {"input": "x"}),
    ):
        answer = httpx.post(f"{running.url}{path}", json={"model": "scripted"} | body)
        assert answer.status_code == 200
        content = document["paths"][path]["post"]["responses"]["200"]["content"]
        schema = content["application/json"]["schema"] | {"components": document["components"]}
        jsonschema.validate(answer.json(), schema)


def test_keys_are_in_the_document(run_server: Any, new_engine: Any) -> None:
    with run_server(new_engine(), callers=Callers(["k"])) as running:
        headers = {"authorization": "Bearer k"}
        document = httpx.get(f"{running.url}/openapi.json", headers=headers).json()
    assert document["paths"]["/v1/models"]["get"]["security"] == [{"key": []}]
    assert "security" not in document["paths"]["/health"]["get"]
