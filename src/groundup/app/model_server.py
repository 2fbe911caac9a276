"""The processes that run local models for the app: ``groundup serve``, each with one model.

They are processes of their own, so that a page never stalls an answer, nor an answer a page. Each
listens on this machine alone and wants a key that only the app knows. One that dies is started
again; one whose parts the learner swapped is replaced, and finishes what it was answering.
"""

import asyncio
import os
import secrets
import signal
import socket
import sys
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Literal

import aiohttp

from groundup.course.swap import current_swaps
from groundup.errors import GroundupError

__all__ = ["Endpoint", "ModelServer", "ModelServers"]

State = Literal["stopped", "starting", "ready", "failed"]
START_LIMIT = 300.0  # seconds until a model is loaded; it may have to be fetched
DRAIN_LIMIT = 35.0  # seconds; the server's own is 30
LOG_LINES = 500
POLL = 0.1  # seconds between two looks at a server that starts
SWAP_POLL = 1.0  # seconds between two looks at the learner's swaps
SAMPLING = (("temperature", 0.2), ("top_p", 0.9))  # as of `groundup chat`: small models wander
RUNNING = 2  # models at a time: each takes its size in memory


@dataclass(frozen=True)
class Endpoint:
    """Where a model answers, as OpenAI's API."""

    base_url: str  # ends in /v1
    model: str  # the name that it is asked for by
    key: str = field(default="", repr=False)
    parts: tuple[str, ...] = ()  # the learner's own, on which it runs
    sampling: tuple[tuple[str, float], ...] = ()  # fields of requests that say nothing of them
    local: bool = False  # it is a process of this app


class ModelServer:
    """One model's process, while it is wanted."""

    def __init__(
        self, model: str, options: Sequence[str] = (), changed: Callable[[], None] = lambda: None
    ) -> None:
        """Arguments:
        model: as ``groundup serve --model`` takes it.
        options: more of its options.
        changed: called at each change of the state.
        """
        self.model = model
        self.state: State = "stopped"
        self.reason = ""  # why it failed, or starts again
        self.logs: deque[str] = deque(maxlen=LOG_LINES)
        self._options = options
        self._changed = changed
        self._endpoint: Endpoint | None = None
        self._swapped: dict[str, str] = {}  # what it was started on: hashes by part
        self._settled = asyncio.Event()  # it is not starting
        self._process: asyncio.subprocess.Process | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._leaving: set[asyncio.Task[None]] = set()

    async def endpoint(self) -> Endpoint:
        """Where it answers; it is started if it does not run.

        Raises:
            GroundupError: the model cannot be served; says why.
        """
        if self._supervisor is None or self._supervisor.done():
            self._settled.clear()
            self._supervisor = asyncio.create_task(self._supervise())
        try:
            await asyncio.wait_for(self._settled.wait(), START_LIMIT)
        except TimeoutError:
            raise GroundupError(
                f"{self.model} was not ready after {START_LIMIT:.0f} s: the logs on the page "
                "Operations may say why"
            ) from None
        if self._endpoint is None:
            raise GroundupError(f"{self.model} cannot be served: {self.reason}")
        return self._endpoint

    @property
    def ready_endpoint(self) -> Endpoint | None:
        """Where it answers, if it does now."""
        return self._endpoint

    @property
    def pid(self) -> int | None:
        """Of its process, if there is one."""
        alive = self._process is not None and self._process.returncode is None
        return self._process.pid if alive and self._process is not None else None

    async def swaps_changed(self) -> bool:
        """Whether the learner swapped parts since it was started."""
        return self.state != "stopped" and await swapped_parts() != self._swapped

    async def restart(self) -> None:
        """Begin anew, on the parts that are swapped in now. Answers that run are finished."""
        await self._end()
        self._settled.clear()
        self._supervisor = asyncio.create_task(self._supervise())

    async def close(self) -> None:
        """End the process, once its answers are finished or the time for that is over."""
        await self._end()
        self._become("stopped", "it was stopped")
        if self._leaving:
            await asyncio.gather(*self._leaving, return_exceptions=True)

    async def _end(self) -> None:
        """No more is asked of the process: it is told to leave, and watched in the background."""
        self._endpoint = None
        process, self._process = self._process, None
        if self._supervisor is not None:
            self._supervisor.cancel()
            with suppress(asyncio.CancelledError):
                await self._supervisor
        if process is not None and process.returncode is None:
            task = asyncio.create_task(leave(process))
            self._leaving.add(task)
            task.add_done_callback(self._leaving.discard)

    async def _supervise(self) -> None:
        """Start the process, and start it again when it dies."""
        pause = 0.0
        while True:
            self._become("starting", self.reason if pause else "")
            self._swapped = await swapped_parts()
            key, port = secrets.token_urlsafe(24), free_port()
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-m", "groundup", "serve", "--model", self.model,
                "--port", str(port), "--end-with-stdin", *self._options,
                env={**os.environ, "GROUNDUP_API_KEY": key},
                stdin=asyncio.subprocess.PIPE,  # its end is ours
                stdout=asyncio.subprocess.DEVNULL,
                stderr=asyncio.subprocess.PIPE,
                start_new_session=True,  # Ctrl-C is for the app, which ends it
            )  # fmt: skip
            self._process = process
            reading = asyncio.create_task(self._read(process))
            base_url = f"http://127.0.0.1:{port}"
            name = await answering(base_url, key, process)
            if name is None:
                await process.wait()
                await reading
                said = self.logs[-1] if self.logs else "it ended at once"
                self._become("failed", said.removeprefix("groundup: "))
                return
            self._endpoint = Endpoint(
                f"{base_url}/v1", name, key, tuple(self._swapped), SAMPLING, local=True
            )
            self._become("ready")
            loop = asyncio.get_running_loop()
            began = loop.time()
            status = await process.wait()
            await reading
            self._endpoint = None
            self._settled.clear()
            self.reason = f"the model's process ended (exit status {status}) and starts again"
            pause = 0.5 if loop.time() - began > 60 else min(30.0, 2 * pause + 0.5)
            self._become("starting", self.reason)
            await asyncio.sleep(pause)

    async def _read(self, process: asyncio.subprocess.Process) -> None:
        """Keep what it says."""
        assert process.stderr is not None
        with suppress(ValueError):  # a line beyond the reader's limit: the rest is not kept
            async for line in process.stderr:
                self.logs.append(line.decode(errors="replace").rstrip())

    def _become(self, state: State, reason: str = "") -> None:
        self.state, self.reason = state, reason
        if state != "starting":
            self._settled.set()
        self._changed()


class ModelServers:
    """All local models that run, at most `RUNNING`: the one asked longest ago makes room."""

    def __init__(self, options: Sequence[str] = ()) -> None:
        """Arguments:
        options: of ``groundup serve``, for each of them.
        """
        self._options = options
        self._servers: dict[str, ModelServer] = {}  # the latest asked is the last
        self._listeners: list[Callable[[], None]] = []
        self._following: asyncio.Task[None] | None = None

    async def endpoint(self, model: str) -> Endpoint:
        """Where a model answers; waits until it is loaded.

        Raises:
            GroundupError: it cannot be served; says why.
        """
        if self._following is None:
            self._following = asyncio.create_task(self._follow_swaps())
        server = self._servers.pop(model, None) or ModelServer(model, self._options, self._tell)
        self._servers[model] = server
        while len(self._servers) > RUNNING:
            oldest = next(iter(self._servers))
            await self._servers.pop(oldest).close()
        return await server.endpoint()

    def state(self, model: str) -> State:
        """What a model's process does."""
        return self._servers[model].state if model in self._servers else "stopped"

    def reason(self, model: str) -> str:
        """Why it failed or starts again; empty where there is nothing to say."""
        return self._servers[model].reason if model in self._servers else ""

    def logs(self, model: str) -> list[str]:
        """The last lines that it wrote."""
        return list(self._servers[model].logs) if model in self._servers else []

    def running(self) -> list[str]:
        """The models that were asked for, the latest last."""
        return list(self._servers)

    def ready_endpoints(self) -> dict[str, Endpoint]:
        """Where models answer now, by their names; none is started for it."""
        servers = self._servers.items()
        return {model: where for model, server in servers if (where := server.ready_endpoint)}

    def pid(self, model: str) -> int | None:
        """Of a model's process, if there is one."""
        return self._servers[model].pid if model in self._servers else None

    async def stop(self, model: str) -> None:
        """End a model's process, if it runs: its memory is free then."""
        if model in self._servers:
            await self._servers.pop(model).close()

    async def restart(self, model: str) -> None:
        """Start a model's process anew, if it runs."""
        if model in self._servers:
            await self._servers[model].restart()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call it at each change of a state. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """End all processes."""
        if self._following is not None:
            self._following.cancel()
        await asyncio.gather(*(server.close() for server in self._servers.values()))
        self._servers.clear()

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    async def _follow_swaps(self) -> None:
        """Restart what runs on other parts than the learner wants, wherever they were swapped."""
        while True:
            await asyncio.sleep(SWAP_POLL)
            for server in tuple(self._servers.values()):
                if await server.swaps_changed():
                    await server.restart()


async def swapped_parts() -> dict[str, str]:
    """The learner's parts that are swapped in and pass: hashes by id."""
    return (await asyncio.to_thread(current_swaps)).hashes


async def answering(base_url: str, key: str, process: asyncio.subprocess.Process) -> str | None:
    """The model's name, once the server is ready; None where its process ended before."""
    headers = {"authorization": f"Bearer {key}"}
    timeout = aiohttp.ClientTimeout(total=5)
    async with aiohttp.ClientSession(base_url, headers=headers, timeout=timeout) as session:
        while process.returncode is None:
            with suppress(aiohttp.ClientError, TimeoutError):
                async with session.get("/ready") as ready:
                    if ready.status == 200:
                        async with session.get("/v1/models") as models:
                            return str((await models.json())["data"][0]["id"])
            await asyncio.sleep(POLL)
    return None


async def leave(process: asyncio.subprocess.Process) -> None:
    """Ask a process to end, and end it."""
    with suppress(ProcessLookupError):
        process.send_signal(signal.SIGTERM)
        try:
            await asyncio.wait_for(process.wait(), DRAIN_LIMIT)
        except TimeoutError:
            process.kill()
            await process.wait()


def free_port() -> int:
    """A port of this machine that nothing listens on. One who takes it meanwhile lacks the key."""
    with closing(socket.socket()) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port
