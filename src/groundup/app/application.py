"""What all pages of the running app share."""

from dataclasses import dataclass
from pathlib import Path

from groundup.app.answers import Answers
from groundup.app.model_server import ModelServers
from groundup.app.store.store import Store
from groundup.course.workspace import Workspace, find_workspace

__all__ = ["App"]


@dataclass(frozen=True)
class App:
    """The app of one ``groundup up``."""

    folder: Path  # what the app keeps, readable by its user alone
    store: Store
    models: ModelServers
    answers: Answers
    model: str  # what one talks to who chose none

    @property
    def workspace(self) -> Workspace | None:
        """The learner's, as it is now: one may be made while the app runs."""
        return find_workspace()
