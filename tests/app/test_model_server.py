"""Models in processes of their own: they answer, die, are replaced, and never outlive the app."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import aiohttp
import psutil
import pytest

from groundup.app.model_server import Endpoint, ModelServer, ModelServers
from groundup.errors import GroundupError

LIMIT = 120.0  # seconds: machines may be busy


Started = Callable[[str], list[psutil.Process]]


@pytest.fixture
async def servers(own_home: Path, started: Started) -> AsyncIterator[ModelServers]:
    made = ModelServers(["--threads", "1"])
    yield made
    await made.close()
    assert not started(" serve ")


async def ask(endpoint: Endpoint, key: str | None = None) -> tuple[int, str]:
    """Status, and what the model wrote."""
    headers = {"authorization": f"Bearer {endpoint.key if key is None else key}"}
    question = {"model": endpoint.model, "prompt": "a", "max_tokens": 3, "temperature": 0}
    async with (
        aiohttp.ClientSession(headers=headers) as session,
        session.post(f"{endpoint.base_url}/completions", json=question) as answer,
    ):
        body = await answer.json()
        return answer.status, body["choices"][0]["text"] if answer.status == 200 else ""


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT):
        while not true():
            await asyncio.sleep(0.05)


async def test_it_answers_to_its_key_alone(servers: ModelServers, tiny_model: str) -> None:
    seen: list[str] = []
    end = servers.on_change(lambda: seen.append(servers.state(tiny_model)))
    assert servers.state(tiny_model) == "stopped"
    endpoint = await servers.endpoint(tiny_model)
    assert seen == ["starting", "ready"]
    end()
    assert (await ask(endpoint))[0] == 200
    assert (await ask(endpoint, "another"))[0] == 401
    assert endpoint.key not in repr(endpoint)
    assert endpoint.parts == ()


async def test_one_that_dies_is_started_again(
    servers: ModelServers, tiny_model: str, started: Started
) -> None:
    before = await servers.endpoint(tiny_model)
    expected = await ask(before)
    (process,) = [child for child in started(" serve ") if child.ppid() == os.getpid()]
    process.kill()
    await until(lambda: servers.state(tiny_model) == "starting")
    assert "starts again" in servers.reason(tiny_model)
    after = await servers.endpoint(tiny_model)
    assert after != before
    assert await ask(after) == expected


async def test_a_model_that_is_not_there(servers: ModelServers) -> None:
    for _ in range(2):  # each time it is asked for, it is tried anew
        with pytest.raises(GroundupError, match="cannot be served: there is no"):
            await servers.endpoint("/nowhere.gguf")
        assert servers.state("/nowhere.gguf") == "failed"
    assert servers.logs("/nowhere.gguf")


async def test_swapped_parts_are_what_it_runs_on(
    servers: ModelServers,
    tiny_model: str,
    swapped_attention: Callable[[str], Path],
    attention_source: str,
) -> None:
    """Wherever they were swapped; answers that run are finished by the process that began them."""
    before = await servers.endpoint(tiny_model)
    expected = await ask(before)
    swapped_attention(attention_source)
    await until(lambda: servers.state(tiny_model) == "starting")
    after = await servers.endpoint(tiny_model)
    assert after.parts == ("attention",)
    assert await ask(after) == expected


async def test_a_broken_workspace_leaves_the_reference(
    servers: ModelServers, tiny_model: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GROUNDUP_WORKSPACE", str(tmp_path))
    endpoint = await servers.endpoint(tiny_model)
    assert (await ask(endpoint))[0] == 200
    assert endpoint.parts == ()
    said = f"GROUNDUP_WORKSPACE names {tmp_path}, which is not a workspace"
    assert said in " ".join(servers.logs(tiny_model))


async def test_the_model_asked_longest_ago_makes_room(
    servers: ModelServers, tiny_model: str, forgetful_model: str, tmp_path: Path
) -> None:
    third = tmp_path / "third.gguf"
    third.symlink_to(tiny_model)
    for model in (tiny_model, forgetful_model, tiny_model, str(third)):
        await servers.endpoint(model)
    assert servers.running() == [tiny_model, str(third)]
    assert servers.state(forgetful_model) == "stopped"


async def test_one_that_is_closed_while_it_starts(
    own_home: Path, tiny_model: str, started: Started
) -> None:
    server = ModelServer(tiny_model)
    waiting = asyncio.create_task(server.endpoint())
    await until(lambda: bool(started(" serve ")))
    await server.close()
    with pytest.raises(GroundupError, match="it was stopped"):
        await waiting
    assert not started(" serve ")


def test_it_ends_when_the_app_is_killed(tiny_model: str) -> None:
    program = textwrap.dedent("""
        import asyncio, sys
        from groundup.app.model_server import ModelServers
        async def main():
            await ModelServers().endpoint(sys.argv[1])
            print("ready", flush=True)
            await asyncio.sleep(600)
        asyncio.run(main())
    """)
    app = subprocess.Popen(
        [sys.executable, "-c", program, tiny_model], stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    assert app.stdout.readline() == "ready\n"
    served = psutil.Process(app.pid).children(recursive=True)
    assert served
    app.send_signal(signal.SIGKILL)
    app.wait(10)
    app.stdout.close()
    _, alive = psutil.wait_procs(served, timeout=LIMIT)
    assert not alive
