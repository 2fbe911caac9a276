"""What all pages of the running app share."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from groundup.app.answers import Answers
from groundup.app.endpoints import Endpoints
from groundup.app.metrics_history import MetricsHistory
from groundup.app.model_library import ModelLibrary
from groundup.app.model_pulls import ModelPulls
from groundup.app.model_reader import ModelReader
from groundup.app.model_server import Endpoint, ModelServers
from groundup.app.sign_in import LiveSessions
from groundup.app.store.store import Store
from groundup.course.workspace import Workspace, find_workspace
from groundup.errors import GroundupError

__all__ = ["App"]


@dataclass(frozen=True)
class App:
    """The app of one ``groundup up``."""

    folder: Path  # what the app keeps, readable by its user alone
    store: Store
    models: ModelServers
    answers: Answers
    endpoints: Endpoints
    sessions: LiveSessions | None  # None: without sign-in
    model: str  # what one talks to who chose none
    library: ModelLibrary
    pulls: ModelPulls
    metrics: MetricsHistory
    reader: ModelReader

    @classmethod
    def create(
        cls,
        folder: Path,
        store: Store,
        model: str,
        *,
        options: Sequence[str] = (),
        sessions: LiveSessions | None = None,
    ) -> "App":
        """Arguments:
        folder: what the app keeps, readable by its user alone.
        store: where conversations are.
        model: what one talks to who chose none.
        options: of ``groundup serve``, for each local model.
        sessions: of those who sign in; None: without sign-in.
        """
        models, endpoints, library = ModelServers(options), Endpoints(folder), ModelLibrary(folder)

        def is_here(name: str) -> bool:
            return name == model or name in library.names()

        async def endpoint(name: str) -> Endpoint:
            remote = await asyncio.to_thread(endpoints.find, name)
            if remote is not None:
                return remote
            # An import may name any file or hub id: not everybody may have it loaded.
            if sessions is not None and not await asyncio.to_thread(is_here, name):
                raise GroundupError(f"{name[:80]!r} is not offered here: choose another model")
            return await models.endpoint(name)

        return cls(
            folder, store, models, Answers(store, endpoint), endpoints, sessions, model,
            library, ModelPulls(), MetricsHistory(models.ready_endpoints),
            ModelReader(),
        )  # fmt: skip

    async def warm_up(self) -> None:
        """Load the model before it is asked for, so that the first answer need not wait for it."""
        if await asyncio.to_thread(self.endpoints.find, self.model) is None:
            with suppress(GroundupError):  # who asks for it is told
                await self.models.endpoint(self.model)

    def offered_models(self) -> list[str]:
        """Those that one can talk to: local ones that are here, and endpoints' elsewhere.

        Where a file that lists them cannot be read, Settings and Operations say why.
        """
        offered = [self.model]
        for names in (self.library.names, self.endpoints.models):
            with suppress(GroundupError):
                offered += names()
        return list(dict.fromkeys(offered))

    @property
    def workspace(self) -> Workspace | None:
        """The learner's, as it is now: one may be made while the app runs."""
        return find_workspace()
