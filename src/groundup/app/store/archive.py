"""All of a user's data as one zip of JSON: written, wiped, and read again."""

import json
import math
import struct
import tempfile
import time
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Annotated, Any, TypeVar

import msgspec
from msgspec import Meta, Struct
from sqlalchemy import Connection, and_, select

from groundup import __version__
from groundup.app.store.accounts import lock_user
from groundup.app.store.database import Database
from groundup.app.store.messages import Role, State
from groundup.app.store.tables import conversations, folders, messages, new_id, ratings, settings
from groundup.errors import GroundupError

__all__ = ["Archive", "Restored"]

FORMAT, VERSION = "groundup archive", 1
MAX_LINE = 64 << 20  # bytes of one conversation, or of a small file
MAX_TOTAL = 1 << 30  # bytes of all, unpacked
MAX_DIRECTORY = 64 << 10  # bytes of the list of files at the zip's end: there are four

Id = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_-]{1,64}$")]
Name = Annotated[str, Meta(max_length=200)]
Time = Annotated[float, Meta(ge=0, le=1e11)]  # seconds since 1970
Count = Annotated[int, Meta(ge=0, lt=1 << 31)]
T = TypeVar("T")


class _Manifest(Struct, forbid_unknown_fields=True):
    format: str
    version: int
    groundup: str
    created: Time


class _Folder(Struct, forbid_unknown_fields=True):
    id: Id
    name: Annotated[str, Meta(min_length=1, max_length=200)]
    created: Time


class _Rating(Struct, forbid_unknown_fields=True):
    value: Annotated[int, Meta(ge=-1, le=1)]
    created: Time


class _Message(Struct, forbid_unknown_fields=True):
    id: Id
    parent_id: Id | None
    role: Role
    content: str
    state: State
    error: str
    model: str
    tokens: Count | None
    seconds: Annotated[float, Meta(ge=0, le=1e11)] | None
    parts: list[str]
    created: Time
    rating: _Rating | None = None


class _Conversation(Struct, forbid_unknown_fields=True):
    id: Id
    title: Name
    folder_id: Id | None
    model: str
    system: str
    sampling: dict[str, Any]
    head_id: Id | None
    created: Time
    updated: Time
    messages: list[_Message]


@dataclass(frozen=True)
class Restored:
    """What came of an archive."""

    conversations: int  # taken up
    known: int  # left alone, as they were here already


class Archive:
    """Export, wipe and import of one user's data."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def export(self, user: str, path: Path) -> None:
        """Write conversations, folders, ratings and settings, as they are at one moment.

        Accounts, sessions, endpoints and their keys are not in it. Answers that are being written
        are in it as stopped ones.

        Args:
            user: the user's id.
            path: of a zip, which is there whole or not at all.

        Raises:
            GroundupError: it cannot be written, or would be larger than what `restore` reads.
        """
        try:
            with tempfile.NamedTemporaryFile(
                dir=path.parent, prefix=f".{path.name}.", delete=False
            ) as file:
                temporary = Path(file.name)
                try:
                    self._write(user, file)
                    file.flush()
                    temporary.replace(path)
                except BaseException:
                    temporary.unlink(missing_ok=True)
                    raise
        except OSError as error:
            raise GroundupError(f"cannot write {path}: {error.strerror}") from None

    def wipe(self, user: str) -> None:
        """Delete conversations, folders, ratings and settings of a user, for good.

        The account stays, and so do backups that were made before a migration.
        """
        with self._database.writing() as connection:
            for table in (conversations, folders, settings):  # the rest goes with conversations
                connection.execute(table.delete().where(table.c.user_id == user))
        if self._database.path is not None:  # SQLite's log holds the pages as they were
            with self._database.engine.connect() as connection:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def restore(self, user: str, path: Path) -> Restored:
        """Take up what an archive holds, all of it or nothing.

        Conversations that are here already stay as they are here; settings become the archive's.
        What has another's id gets a new one.

        Raises:
            GroundupError: it is not such an archive, is of a newer version, or is too large.
        """
        try:
            with path.open("rb") as file:
                _check_directory(file)
                with zipfile.ZipFile(file) as archive, self._database.writing() as connection:
                    lock_user(connection, user)
                    return _Reader(connection, user, archive).read()
        except OSError as error:
            raise GroundupError(f"cannot read {path}: {error.strerror}") from None
        except GroundupError:
            raise
        # Compressed or encrypted in another way: NotImplementedError, a RuntimeError.
        except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, ValueError) as error:
            raise GroundupError(
                f"this is not an archive of groundup, or it is damaged ({error}): nothing was "
                f"imported; choose the .zip that Settings, Export made"
            ) from None

    def _write(self, user: str, file: IO[bytes]) -> None:
        with (
            zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
            self._database.reading() as connection,
        ):
            manifest = _Manifest(FORMAT, VERSION, __version__, time.time())
            archive.writestr("manifest.json", msgspec.json.encode(manifest))
            rows = connection.execute(
                select(settings.c.key, settings.c.value).where(settings.c.user_id == user)
            )
            # Python's writer, as texts may hold half surrogate pairs here
            archive.writestr("settings.json", json.dumps({row.key: row.value for row in rows}))
            columns = [folders.c.id, folders.c.name, folders.c.created]
            rows = connection.execute(select(*columns).where(folders.c.user_id == user))
            archive.writestr("folders.json", json.dumps([dict(row) for row in rows.mappings()]))
            total = 0
            with archive.open("conversations.jsonl", "w") as lines:
                for conversation in _conversations(connection, user):
                    line = json.dumps(conversation).encode() + b"\n"
                    total += len(line)
                    if len(line) > MAX_LINE or total > MAX_TOTAL - 2 * MAX_LINE:
                        raise GroundupError(
                            f"an archive holds at most {MAX_TOTAL >> 20} MiB, and "
                            f"{MAX_LINE >> 20} MiB of one conversation: delete some and try again"
                        )
                    lines.write(line)


def _conversations(connection: Connection, user: str) -> Iterator[dict[str, Any]]:
    order = (conversations.c.created, conversations.c.id)
    own = select(conversations).where(conversations.c.user_id == user).order_by(*order)
    for row in connection.execute(own).mappings().all():
        values = dict(row)
        del values["user_id"]
        rated = and_(ratings.c.message_id == messages.c.id, ratings.c.user_id == user)
        query = (
            select(messages, ratings.c.value.label("rated"), ratings.c.created.label("rated_at"))
            .select_from(messages.outerjoin(ratings, rated))
            .where(messages.c.conversation_id == values["id"])
            .order_by(messages.c.created, messages.c.id)
        )
        values["messages"] = []
        for message in map(dict, connection.execute(query).mappings()):
            del message["conversation_id"]
            value, at = message.pop("rated"), message.pop("rated_at")
            message["rating"] = None if value is None else {"value": value, "created": at}
            if message["state"] == "streaming":
                message["state"] = "stopped"
            values["messages"].append(message)
        yield values


class _Reader:
    """Takes up one archive inside a transaction."""

    def __init__(self, connection: Connection, user: str, archive: zipfile.ZipFile) -> None:
        self._connection = connection
        self._user = user
        self._archive = archive
        self._folders: dict[str, str] = {}  # ids there: ids here

    def read(self) -> Restored:
        expected = {"manifest.json", "settings.json", "folders.json", "conversations.jsonl"}
        infos = self._archive.infolist()
        if {info.filename for info in infos} != expected or len(infos) != len(expected):
            raise zipfile.BadZipFile(f"it should hold {', '.join(sorted(expected))}")
        if sum(info.file_size for info in infos) > MAX_TOTAL:
            raise zipfile.BadZipFile(f"it unpacks to more than {MAX_TOTAL >> 20} MiB")
        manifest = self._small("manifest.json", _Manifest)
        if manifest.format != FORMAT:
            raise zipfile.BadZipFile(f"its format is {manifest.format[:40]!r}")
        if manifest.version > VERSION:
            raise GroundupError(
                f"the archive was written by groundup {manifest.groundup[:40]}, in version "
                f"{manifest.version} of its format, and this groundup reads up to {VERSION}: "
                f"install that version, or a later one"
            )
        self._take_settings(self._small("settings.json", dict[Name, Any]))
        for folder in self._small("folders.json", list[_Folder]):
            self._take_folder(folder)
        lines = self._lines("conversations.jsonl")
        taken = [self._take(_decoded(line, _Conversation)) for line in lines]
        return Restored(sum(taken), len(taken) - sum(taken))

    def _small(self, name: str, kind: type[T]) -> T:
        with self._archive.open(name) as file:
            content = file.read(MAX_LINE + 1)
        if len(content) > MAX_LINE:
            raise zipfile.BadZipFile(f"{name} is too large")
        return _decoded(content, kind)

    def _lines(self, name: str) -> Iterator[bytes]:
        with self._archive.open(name) as file:
            while line := file.readline(MAX_LINE + 1):
                if len(line) > MAX_LINE:
                    raise zipfile.BadZipFile(f"a conversation is larger than {MAX_LINE >> 20} MiB")
                yield line

    def _take_settings(self, values: dict[str, Any]) -> None:
        for key, value in values.items():
            own = and_(settings.c.user_id == self._user, settings.c.key == key)
            self._connection.execute(settings.delete().where(own))
            self._connection.execute(
                settings.insert().values(user_id=self._user, key=key, value=value)
            )

    def _take_folder(self, folder: _Folder) -> None:
        owner = self._connection.execute(
            select(folders.c.user_id).where(folders.c.id == folder.id)
        ).scalar()
        here = folder.id if owner in (None, self._user) else new_id()
        self._folders[folder.id] = here
        if owner != self._user:
            self._connection.execute(
                folders.insert().values(
                    id=here, user_id=self._user, name=folder.name, created=folder.created
                )
            )

    def _take(self, conversation: _Conversation) -> bool:
        """False if it is here already."""
        _check_tree(conversation)
        owner = self._connection.execute(
            select(conversations.c.user_id).where(conversations.c.id == conversation.id)
        ).scalar()
        if owner == self._user:
            return False
        ids = [message.id for message in conversation.messages]
        renamed = {}
        if owner is not None or self._any_known(ids):
            renamed = {known: new_id() for known in [*ids, conversation.id]}
        here = renamed.get(conversation.id, conversation.id)

        def renew(message: str | None) -> str | None:
            return message and renamed.get(message, message)

        values = msgspec.structs.asdict(conversation)
        del values["messages"]
        values |= {
            "id": here,
            "user_id": self._user,
            "folder_id": self._folders.get(conversation.folder_id or ""),
            "head_id": renew(conversation.head_id),
        }
        self._connection.execute(conversations.insert().values(values))
        rows, rated = [], []
        for message in conversation.messages:
            row = msgspec.structs.asdict(message)
            del row["rating"]
            row |= {
                "id": renew(message.id),
                "conversation_id": here,
                "parent_id": renew(message.parent_id),
            }
            if message.state == "streaming":
                row["state"] = "stopped"
            rows.append(row)
            if message.rating is not None and message.rating.value:
                rating = {"value": message.rating.value, "created": message.rating.created}
                rated.append({"message_id": row["id"], "user_id": self._user, **rating})
        if rows:
            self._connection.execute(messages.insert(), rows)
        if rated:
            self._connection.execute(ratings.insert(), rated)
        return True

    def _any_known(self, ids: list[str]) -> bool:
        for start in range(0, len(ids), 500):
            some = messages.c.id.in_(ids[start : start + 500])
            if self._connection.execute(select(messages.c.id).where(some).limit(1)).first():
                return True
        return False


def _decoded(content: bytes, kind: type[T]) -> T:
    """Read JSON: by Python's reader, as it keeps half surrogate pairs, which settings may hold."""
    value = json.loads(content, parse_float=_finite, parse_constant=_finite)
    return msgspec.convert(value, kind)


def _finite(number: str) -> float:
    if not math.isfinite(value := float(number)):
        raise ValueError(f"{number} is no number of JSON")
    return value


def _check_tree(conversation: _Conversation) -> None:
    """Raises: GroundupError: its messages do not make a tree."""
    parents = {message.id: message.parent_id for message in conversation.messages}
    wrong = len(parents) != len(conversation.messages)
    wrong |= conversation.head_id is not None and conversation.head_id not in parents
    rooted: set[str | None] = {None}
    for start in parents:
        trail: dict[str | None, None] = {}
        at: str | None = start
        while at not in rooted and at in parents and at not in trail:
            trail[at] = None
            at = parents[at]
        wrong |= at not in rooted  # a parent that is not there, or a ring
        rooted |= trail.keys()
    if wrong:
        raise GroundupError(
            f"conversation {conversation.id} of the archive is damaged: its messages do not make "
            f"a tree; nothing was imported"
        )


def _check_directory(file: IO[bytes]) -> None:
    """Refuse a zip whose list of files alone would fill the memory, before it is read.

    The end record, without a comment, and no record of ZIP64 in front of it: what `export` writes
    (PKWARE's APPNOTE.TXT, sections 4.3.15 and 4.3.16).
    """
    size = file.seek(0, 2)
    file.seek(max(0, size - 42))
    end = file.read()
    if end[-22:-18] != b"PK\5\6":
        raise zipfile.BadZipFile("its end is not that of a zip")
    if end[:4] == b"PK\6\7" or struct.unpack("<I", end[-10:-6])[0] > MAX_DIRECTORY:
        raise zipfile.BadZipFile("it lists too many files")
    file.seek(0)
