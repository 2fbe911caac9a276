"""Files of examples: their forms, and what is wrong in them."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from groundup.errors import GroundupError
from groundup.tuning.data_file import Example, read_data_file
from groundup.tuning.examples import hold_out, without_duplicates

CHAT = [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]
WORSE = [CHAT[0], {"role": "assistant", "content": "go away"}]


def write(path: Path, rows: list[dict[str, Any]]) -> Path:
    """Rows as JSON Lines, CSV or Parquet, by the file's name."""
    if path.suffix == ".jsonl":
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    elif path.suffix == ".csv":
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(rows[0]))
            writer.writeheader()
            writer.writerows(
                {k: v if isinstance(v, str) else json.dumps(v) for k, v in row.items()}
                for row in rows
            )
    else:
        import pyarrow
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist(rows), path)
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "parquet"])
@pytest.mark.parametrize(
    ("row", "form", "expected"),
    [
        ({"messages": CHAT}, "chat", Example(1, tuple(CHAT))),
        (
            {
                "conversations": [
                    {"from": "human", "value": "hi"},
                    {"from": "gpt", "value": "hello"},
                ]
            },
            "chat",
            Example(1, tuple(CHAT)),
        ),
        ({"instruction": "hi", "input": "", "output": "hello"}, "alpaca", Example(1, tuple(CHAT))),
        ({"question": "hi", "answer": "hello"}, "alpaca", Example(1, tuple(CHAT))),
        ({"prompt": "hi", "completion": "hello"}, "alpaca", Example(1, tuple(CHAT))),
        (
            {"prompt": "hi", "chosen": "hello", "rejected": "go away"},
            "preference",
            Example(1, tuple(CHAT), tuple(WORSE)),
        ),
        (
            {"chosen": CHAT, "rejected": WORSE},
            "preference",
            Example(1, tuple(CHAT), tuple(WORSE)),
        ),
        (
            {"prompt": CHAT[:1], "chosen": CHAT[1:], "rejected": WORSE[1:]},
            "preference",
            Example(1, tuple(CHAT), tuple(WORSE)),
        ),
        (
            {"prompt": "hi", "chosen": CHAT, "rejected": WORSE},
            "preference",
            Example(1, tuple(CHAT), tuple(WORSE)),
        ),
        ({"text": "once upon a time, é"}, "text", Example(1, text="once upon a time, é")),
    ],
)
def test_each_form_in_each_kind_of_file(
    tmp_path: Path, suffix: str, row: dict[str, Any], form: str, expected: Example
) -> None:
    found = read_data_file(write(tmp_path / f"data.{suffix}", [row]))
    assert (found.form, found.examples) == (form, [expected])


def test_input_and_system_of_an_instruction(tmp_path: Path) -> None:
    row = {"instruction": "Add.", "input": "1 2", "output": "3", "system": "Be brief."}
    [example] = read_data_file(write(tmp_path / "a.jsonl", [row])).examples
    assert [turn["content"] for turn in example.messages] == ["Be brief.", "Add.\n\n1 2", "3"]


@pytest.mark.parametrize(
    ("name", "content", "text"),
    [
        ("a.JSONL", '\ufeff{"text": "a\u2028b"}\r\n', "a\u2028b"),
        ("a.csv", '\ufefftext\r\n"a\r\nb"\r\n', "a\r\nb"),
        ("a.csv", f"text\n{'long ' * 40_000}\n", "long " * 40_000),
    ],
)
def test_what_other_programs_write(tmp_path: Path, name: str, content: str, text: str) -> None:
    (tmp_path / name).write_bytes(content.encode())
    assert read_data_file(tmp_path / name).examples == [Example(1, text=text)]


def test_a_text_that_begins_as_a_list_is_a_text(tmp_path: Path) -> None:
    row = {"prompt": "[1, 2]", "chosen": "[{3}]", "rejected": "[4]"}
    [example] = read_data_file(write(tmp_path / "a.csv", [row])).examples
    assert [turn["content"] for turn in example.messages] == ["[1, 2]", "[{3}]"]
    assert example.rejected[-1]["content"] == "[4]"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.txt", "hello", r"expected a name that ends in \.jsonl"),
        ("a.jsonl", "", "holds no rows"),
        ("a.jsonl", '{"text": "a"}\n{"text"\n', "line 2 is not JSON"),
        ("a.jsonl", '{"words": "a"}\n', r"has the columns words: expected a chat"),
        ("a.jsonl", '{"text": "a"}\n\n{"text": 3}\n[]\n', r"row 2 has 3 in 'text'.*so 1 more: 3"),
        ("a.jsonl", json.dumps({"messages": CHAT[:1]}), r"row 1 has no assistant's turn"),
        ("a.jsonl", json.dumps({"messages": [{"role": "boss", "content": ""}]}), "role 'boss'"),
        (
            "a.jsonl",
            json.dumps({"messages": [*CHAT, {"role": "assistant", "content": " "}]}),
            "row 1 has ' ' as what the assistant says",
        ),
        ("a.jsonl", json.dumps({"chosen": CHAT, "rejected": CHAT[:1]}), "no assistant's turn"),
        ("a.jsonl", '{"text": "a"}\n' + "[]\n" * 6, r"row 2 is .*so 5 more: 3, 4, 5, 6, 7\)"),
        ("a.jsonl", '{"text": "a"}\n' + "[]\n" * 7, r"so 6 more: 3, 4, 5, 6, 7, …\)"),
        ("a.csv", 'text\n"a" b\n', "is not CSV: "),
        ("a.jsonl", '{"chosen": "a", "rejected": "b"}', "no 'prompt' that it answers"),
        ("a.csv", "instruction,output\nAdd.,\n", "row 1 has nothing in 'output'"),
        ("a.parquet", "not parquet", "is not a Parquet file"),
        ("a.json", '{"text": "a"}', "expected a list of rows"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, name: str, content: str, message: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(GroundupError, match=message):
        read_data_file(tmp_path / name)


def test_a_file_that_is_not_there_or_no_text(tmp_path: Path) -> None:
    with pytest.raises(GroundupError, match="No such file"):
        read_data_file(tmp_path / "none.jsonl")
    (tmp_path / "a.csv").write_bytes(b"text\n\xff\xfe\n")
    with pytest.raises(GroundupError, match="not UTF-8"):
        read_data_file(tmp_path / "a.csv")


def test_duplicates_are_found_whatever_their_white_space() -> None:
    texts = ["a b", "c", " a\n b", "c", "d"]
    kept, repeated = without_duplicates([Example(i, text=t) for i, t in enumerate(texts, 1)])
    assert [example.row for example in kept] == [1, 2, 5]
    assert repeated == [3, 4]
    spaced = [{"role": turn["role"], "content": f" {turn['content']}\n"} for turn in CHAT]
    chats = [Example(i, tuple(turns)) for i, turns in enumerate((CHAT, spaced, WORSE), 1)]
    assert without_duplicates(chats) == ([chats[0], chats[2]], [2])
    others = [Example(1, tuple(CHAT), tuple(WORSE)), Example(2, tuple(CHAT), tuple(CHAT)),
              Example(3, (*CHAT, *WORSE)), Example(4, ({**CHAT[0], "role": "system"}, CHAT[1])),
              Example(5, tuple(CHAT))]  # fmt: skip
    assert without_duplicates(others) == (others, [])


def test_what_is_held_out_follows_from_seed_and_text() -> None:
    examples = [Example(i, text=str(i)) for i in range(1, 101)]
    learned, held_out = hold_out(examples, 0.1, seed=3)
    assert len(held_out) == 10
    assert sorted(e.row for e in learned + held_out) == list(range(1, 101))
    moved = [Example(200 - e.row, text=e.text) for e in reversed(examples)]
    assert {e.text for e in hold_out(moved, 0.1, seed=3)[1]} == {e.text for e in held_out}
    assert {e.text for e in hold_out(examples, 0.1, seed=4)[1]} != {e.text for e in held_out}
    # Equal examples are on one side, even where the caller left duplicates in.
    twice = hold_out([*examples, *(Example(100 + e.row, text=e.text) for e in examples)], 0.2, 5)
    assert not {e.text for e in twice[0]} & {e.text for e in twice[1]}
    assert hold_out(examples, 0, seed=3) == (examples, [])
    assert len(hold_out(examples, 0.001, seed=3)[1]) == 1
    assert [len(side) for side in hold_out(examples[:2], 0.9, seed=3)] == [1, 1]
    with pytest.raises(GroundupError, match="cannot be both"):
        hold_out(examples[:1], 0.1, seed=0)
