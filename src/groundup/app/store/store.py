"""The store: everything that the app keeps, behind one name."""

from groundup.app.store.accounts import Accounts
from groundup.app.store.archive import Archive
from groundup.app.store.conversations import Conversations
from groundup.app.store.database import Database
from groundup.app.store.messages import Messages
from groundup.app.store.migrate import migrate
from groundup.app.store.ratings import Ratings
from groundup.app.store.sessions import Sessions
from groundup.app.store.settings import ServerSettings, Settings

__all__ = ["Store"]


class Store:
    """What the app keeps, by subject. All calls block, and threads may share it.

    What a call that writes has returned from is on the disk.
    """

    def __init__(self, url: str) -> None:
        """Open the database, and bring its tables up to date.

        Args:
            url: as of `Database`; `default_url` makes that of a file in the app's folder.

        Raises:
            GroundupError: it cannot be used, or is from a newer version of groundup.
        """
        self._database = Database(url)
        try:
            migrate(self._database)
        except BaseException:
            self._database.close()
            raise
        self.accounts = Accounts(self._database)
        self.archive = Archive(self._database)
        self.conversations = Conversations(self._database)
        self.messages = Messages(self._database)
        self.ratings = Ratings(self._database)
        self.sessions = Sessions(self._database)
        self.settings = Settings(self._database)
        self.server_settings = ServerSettings(self._database)

    def close(self) -> None:
        """Close the database."""
        self._database.close()
