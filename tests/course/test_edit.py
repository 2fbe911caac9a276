"""A file that two edit at once: whatever one wrote is in the file, or beside it."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from groundup.course.edit import (
    LONGEST,
    EditConflictError,
    Edition,
    keep_aside,
    read_edition,
    save_edition,
)
from groundup.errors import GroundupError


def read(file: Path) -> Edition:
    found = read_edition(file)
    assert found is not None
    return found


def test_a_text_that_began_from_what_the_file_holds_is_written(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text("a")
    first = read(file)
    second = save_edition(file, "b", first.version)
    assert (file.read_text(), second) == ("b", read(file))
    third = save_edition(file, "ü\r\n", second.version)
    assert (file.read_bytes().decode(), third) == ("ü\r\n", read(file))


def test_a_text_that_began_from_another_version_is_not(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_text("a")
    old = read(file)
    file.write_text("theirs")
    with pytest.raises(EditConflictError) as conflict:
        save_edition(file, "mine", old.version)
    assert conflict.value.theirs == read(file)
    assert file.read_text() == "theirs"
    assert save_edition(file, "theirs", old.version) == read(file)  # both wrote the same


def test_a_file_that_is_gone_is_written_anew(tmp_path: Path) -> None:
    file = tmp_path / "parts" / "part.py"
    assert read_edition(file) is None
    save_edition(file, "a", "whatever")
    assert file.read_text() == "a"


def test_a_link_stays_one(tmp_path: Path) -> None:
    real, link = tmp_path / "real.py", tmp_path / "link.py"
    real.write_text("a")
    link.symlink_to(real)
    save_edition(link, "b", read(link).version)
    assert link.is_symlink()
    assert real.read_text() == "b"


def test_what_cannot_be_read_or_written_says_so(tmp_path: Path) -> None:
    file = tmp_path / "part.py"
    file.write_bytes(b"\xff")
    with pytest.raises(GroundupError, match=r"part\.py is not text in UTF-8"):
        read_edition(file)
    with pytest.raises(GroundupError, match="may have at most 1,000,000"):
        save_edition(file, "a" * (LONGEST + 1), "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(GroundupError, match=r"cannot read .*folder"):
        read_edition(tmp_path / "folder")
    with pytest.raises(GroundupError, match="cannot write"):
        keep_aside(tmp_path / "no" / "backups", "part", "a")


def test_texts_put_aside_do_not_meet(tmp_path: Path) -> None:
    kept = {keep_aside(tmp_path / "backups", "part", text) for text in "abc"}
    assert sorted(file.read_text() for file in kept) == ["a", "b", "c"]


@given(st.lists(st.sampled_from(["page", "page that looked", "editor"]), max_size=12))
def test_no_edit_is_lost_in_any_order_of_page_and_editor(
    tmp_path_factory: pytest.TempPathFactory, steps: list[str]
) -> None:
    """What is replaced was seen by whoever replaced it; the rest is in the file or in backups."""
    folder = tmp_path_factory.mktemp("shared")
    file = folder / "part.py"
    file.write_text("stub")
    page = read(file)
    there = {"stub"}
    for number, who in enumerate(steps):
        text, before = f"{who} {number}", file.read_text()
        if who == "editor":  # it always writes, and had looked
            file.write_text(text)
            there -= {before}
        else:
            page = read(file) if who == "page that looked" else page
            seen = page.text
            try:
                page = save_edition(file, text, page.version)
                assert before == seen
                there -= {before}
            except EditConflictError:
                keep_aside(folder / "backups", "part", text)
        there.add(text)
    kept = {f.read_text() for f in (folder / "backups").glob("*.py")}
    assert there == {file.read_text()} | kept
