"""Export, wipe and import give the same state; what is no archive is refused."""

import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from groundup.app.store import archive as module
from groundup.app.store.archive import Restored
from groundup.app.store.store import Store
from groundup.app.store.tables import metadata, new_id
from groundup.errors import GroundupError


def fill(store: Store, user: str, word: str = "secret") -> str:
    """Some of everything; returns a conversation."""
    folder = store.conversations.create_folder(user, f"{word} folder").id
    store.conversations.create_folder(user, "empty")
    store.conversations.create(user)
    made = store.conversations.create(
        user, title=word, folder=folder, model="m", system=word, sampling={"stop": ["\ud800", 0.1]}
    )
    add = store.messages.add
    question = add(user, made.id, parent=None, role="user", content=f"{word} \0 é 😀").id
    answers = [
        add(user, made.id, parent=question, role="assistant", content=word, parts=["bpe"]).id
        for _ in range(3)
    ]
    store.messages.update(user, answers[0], tokens=3, seconds=1 / 3)
    store.messages.update(user, answers[1], state="failed", error="out of memory")
    store.ratings.rate(user, answers[0], 1)
    store.ratings.rate(user, answers[2], -1)
    add(user, made.id, parent=answers[0], role="user", content="more")
    store.messages.set_head(user, made.id, answers[2])
    store.settings.put(user, "theme", {"\ud800": [word, 0.1, None]})
    return made.id


def rows(store: Store, *users: str) -> dict[str, list[dict[str, Any]]]:
    """Everything the users have, as the database holds it."""
    found: dict[str, list[dict[str, Any]]] = {}
    with store._database.reading() as connection:
        for table in metadata.sorted_tables:
            if table.name in ("users", "sessions", "schema_history", "server_settings"):
                continue
            query = select(table)
            if table.name == "messages":
                query = query.join(metadata.tables["conversations"])
            owner = metadata.tables["conversations" if table.name == "messages" else table.name]
            query = query.where(owner.c.user_id.in_(users))
            listed = [dict(row) for row in connection.execute(query).mappings()]
            found[table.name] = sorted(listed, key=lambda row: str(list(row.items())))
    return found


def test_export_wipe_import_is_the_same_state(
    store: Store, ada: str, bob: str, tmp_path: Path, open_store: Callable[[], Store]
) -> None:
    fill(store, ada)
    fill(store, bob, "other")
    before, others = rows(store, ada), rows(store, bob)
    assert all(before.values())
    path = tmp_path / "export.zip"
    store.archive.export(ada, path)
    store.archive.wipe(ada)
    assert not any(rows(store, ada).values())
    assert rows(store, bob) == others
    assert store.archive.restore(ada, path) == Restored(2, 0)
    assert rows(open_store(), ada) == before
    assert store.archive.restore(ada, path) == Restored(0, 2)
    assert rows(store, ada) == before
    assert rows(store, bob) == others
    assert [p.name for p in tmp_path.iterdir() if p.is_file()] == ["export.zip"]


def test_wiped_is_gone_from_the_disk(tmp_path: Path) -> None:
    store = Store(f"sqlite:///{tmp_path / 'app.db'}")
    ada = store.accounts.add("ada", "hash", "admin").id
    word = new_id()
    fill(store, ada, word)

    def found() -> list[str]:
        return [p.name for p in tmp_path.iterdir() if word.encode() in p.read_bytes()]

    assert found()
    store.archive.wipe(ada)
    assert not found()
    store.close()


def test_anothers_archive_gets_ids_of_its_own(
    store: Store, ada: str, bob: str, tmp_path: Path
) -> None:
    conversation = fill(store, ada)
    before = rows(store, ada)
    path = tmp_path / "export.zip"
    store.archive.export(ada, path)
    assert store.archive.restore(bob, path) == Restored(2, 0)
    assert rows(store, ada) == before
    taken = rows(store, bob)
    for table, listed in before.items():
        assert len(taken[table]) == len(listed)
    made = next(c for c in store.conversations.all(bob) if c.title == "secret")
    assert [m.content for m in store.messages.path(bob, made.id)] == [
        m.content for m in store.messages.path(ada, conversation)
    ]
    names = {f.id: f.name for f in store.conversations.folders(bob)}
    assert names[made.folder_id or ""] == "secret folder"
    assert sorted(store.ratings.of(bob, made.id).values()) == [-1, 1]


def test_an_answer_under_way_is_exported_as_stopped(store: Store, ada: str, tmp_path: Path) -> None:
    conversation = store.conversations.create(ada).id
    answer = store.messages.add(
        ada, conversation, parent=None, role="assistant", content="Hel", state="streaming"
    )
    store.archive.export(ada, tmp_path / "export.zip")
    store.archive.wipe(ada)
    store.archive.restore(ada, tmp_path / "export.zip")
    assert store.messages.get(ada, answer.id).state == "stopped"


GOOD: dict[str, Any] = {
    "manifest.json": {"format": "groundup archive", "version": 1, "groundup": "9", "created": 1.0},
    "settings.json": {},
    "folders.json": [],
    "conversations.jsonl": {
        "id": "c",
        "title": "",
        "folder_id": None,
        "model": "",
        "system": "",
        "sampling": {},
        "head_id": "m",
        "created": 1.0,
        "updated": 1,
        "messages": [],
    },
}
MESSAGE: dict[str, Any] = {
    "id": "m",
    "parent_id": None,
    "role": "user",
    "content": "",
    "state": "complete",
    "error": "",
    "model": "",
    "tokens": None,
    "seconds": None,
    "parts": [],
    "created": 1.0,
}


def write(path: Path, files: dict[str, Any]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as made:
        for name, content in files.items():
            made.writestr(name, content if isinstance(content, bytes) else json.dumps(content))
    return path


def conversation(**changes: Any) -> dict[str, Any]:
    return {"conversations.jsonl": {**GOOD["conversations.jsonl"], "messages": [MESSAGE]} | changes}


def with_messages(*changes: dict[str, Any]) -> dict[str, Any]:
    return conversation(messages=[{**MESSAGE, **change} for change in changes])


def test_a_handmade_archive_is_read(store: Store, ada: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.zip", GOOD | conversation())
    assert store.archive.restore(ada, path) == Restored(1, 0)


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ({"../../evil.json": {}}, "it should hold"),
        ({"/etc/passwd": {}}, "it should hold"),
        ({"more.pkl": b"cposix\nsystem\n(S'true'\ntR."}, "it should hold"),
        ({"manifest.json": {}}, "missing required field"),
        ({"manifest.json": {**GOOD["manifest.json"], "format": "zip"}}, "its format is 'zip'"),
        ({"manifest.json": {**GOOD["manifest.json"], "version": 2}}, "written by groundup 9, in"),
        ({"manifest.json": b"{"}, "not an archive of groundup"),
        ({"settings.json": b"[" * 100_000}, "not an archive of groundup"),
        ({"settings.json": b'{"a": NaN}'}, "NaN is no number"),
        ({"settings.json": b'{"a": 1e999}'}, "1e999 is no number"),
        ({"settings.json": b"\xff"}, "not an archive of groundup"),
        ({"folders.json": [{"id": "x", "name": "", "created": 1}]}, "length >= 1"),
        (conversation(id="../x"), "matching regex"),
        (conversation(head_id="else"), "do not make a tree"),
        (conversation(user_id="other"), "unknown field `user_id`"),
        (conversation(created=-1.0), ">= 0"),
        (with_messages({"parent_id": "m"}), "do not make a tree"),
        (with_messages({"parent_id": "else"}), "do not make a tree"),
        (with_messages({}, {}), "do not make a tree"),
        (with_messages({}, {"id": "a", "parent_id": "b"}, {"id": "b", "parent_id": "a"}), "tree"),
        (with_messages({"role": "root"}), "Invalid enum value 'root'"),
        (with_messages({"state": "done"}), "Invalid enum value 'done'"),
        (with_messages({"tokens": 1 << 31}), "<= 2147483647"),
        (with_messages({"rating": {"value": 5, "created": 1}}), "<= 1"),
    ],
)
def test_what_is_no_archive_changes_nothing(
    store: Store, ada: str, tmp_path: Path, files: dict[str, Any], reason: str
) -> None:
    fill(store, ada)
    before = rows(store, ada)
    # What stands in front of the fault would be imported, if anything were.
    good = GOOD | {"settings.json": {"taken": 1}} | conversation()
    with pytest.raises(GroundupError, match=reason):
        store.archive.restore(ada, write(tmp_path / "bad.zip", good | files))
    assert rows(store, ada) == before


def test_large_archives_are_refused_before_they_are_unpacked(
    store: Store, ada: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MAX_LINE", 1 << 20)
    monkeypatch.setattr(module, "MAX_TOTAL", 8 << 20)
    path = tmp_path / "bomb.zip"

    def refused(reason: str) -> None:
        with pytest.raises(GroundupError, match=reason):
            store.archive.restore(ada, path)

    write(path, GOOD | {"settings.json": b'"' + b"a" * (1 << 20)})
    refused("settings.json is too large")
    write(path, GOOD | {"conversations.jsonl": b'"' + b"a" * (1 << 20)})
    refused("a conversation is larger than 1 MiB")
    write(path, GOOD | {"conversations.jsonl": b" " * (8 << 20)})
    refused("unpacks to more than 8 MiB")
    content = path.read_bytes()
    lying = content.replace(struct.pack("<I", 8 << 20), struct.pack("<I", 100))
    assert lying != content
    path.write_bytes(lying)
    refused("damaged")
    write(path, {f"{i:060}": b"" for i in range(1000)})
    refused("lists too many files")
    with path.open("ab") as file:
        file.write(b"x")
    refused("its end is not that of a zip")
    path.write_bytes(b"")
    refused("its end is not that of a zip")
    with pytest.raises(GroundupError, match="cannot read"):
        store.archive.restore(ada, tmp_path / "none.zip")
    fill(store, ada)
    store.messages.add(
        ada, store.conversations.create(ada).id, parent=None, role="user", content="a" * (1 << 20)
    )
    with pytest.raises(GroundupError, match="holds at most 8 MiB"):
        store.archive.export(ada, tmp_path / "large.zip")
    assert not (tmp_path / "large.zip").exists()


@pytest.mark.parametrize("position", [2, 40, 200, -60, -30])
def test_a_damaged_archive_is_refused(
    store: Store, ada: str, tmp_path: Path, position: int
) -> None:
    fill(store, ada)
    path = tmp_path / "export.zip"
    store.archive.export(ada, path)
    before = rows(store, ada)
    content = bytearray(path.read_bytes())
    content[position] ^= 0xFF
    path.write_bytes(content)
    with pytest.raises(GroundupError, match="damaged"):
        store.archive.restore(ada, path)
    assert rows(store, ada) == before


def test_an_export_that_cannot_be_written_leaves_nothing(
    store: Store, ada: str, tmp_path: Path
) -> None:
    with pytest.raises(GroundupError, match="cannot write"):
        store.archive.export(ada, tmp_path / "none" / "export.zip")
    (tmp_path / "folder").mkdir()
    with pytest.raises(GroundupError, match="cannot write"):
        store.archive.export(ada, tmp_path / "folder")
    assert not [p for p in tmp_path.iterdir() if p.is_file()]
