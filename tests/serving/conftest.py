"""A clock that tests move, and Redis: a fake one, and a real one where it is installed."""

import asyncio
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.asyncio import Redis


class Clock:
    """Time that moves when a test says so."""

    def __init__(self, now: float = 0.0) -> None:
        self.now = now

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock(1_000_000.0)


@pytest.fixture(scope="session")
def redis_server() -> Iterator[str]:
    """The socket of a real server, on no port."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    folder = Path(tempfile.mkdtemp(prefix="gu-redis-"))
    socket = folder / "redis.sock"
    command = ["redis-server", "--port", "0", "--save", "", "--dir", str(folder)]
    command += ["--unixsocket", str(socket)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    for _ in range(500):
        if socket.exists():
            break
        time.sleep(0.02)
    yield str(socket)
    server.terminate()
    server.wait()
    shutil.rmtree(folder)


@pytest.fixture(params=["fake", "real"])
def new_redis(request: pytest.FixtureRequest) -> Callable[[], Redis]:
    """Makes clients of one empty Redis. A client belongs to the event loop it is made in."""
    if request.param == "fake":
        server = FakeServer()
        return lambda: FakeAsyncRedis(server=server)
    socket = request.getfixturevalue("redis_server")

    async def empty() -> None:
        client = Redis(unix_socket_path=socket)
        await client.flushall()
        await client.aclose()

    asyncio.run(empty())
    return lambda: Redis(unix_socket_path=socket)
