"""``groundup train gpt`` and ``groundup train talker``, and what they show."""

from pathlib import Path

import pytest
from typer.testing import CliRunner

from groundup.cli.train import train_app
from groundup.cli.train_talker import PACKAGED
from groundup.engine.conversation import Conversation
from groundup.engine.sampling_params import SamplingParams
from groundup.errors import GroundupError
from groundup.models.load import load_language_model
from groundup.training.conversations import (
    conversations,
    questions_about_command,
    questions_about_module,
)
from groundup.training.loss_curve import draw_curve, save_plot
from groundup.training.model_size import model_size
from groundup.training.run_log import read_log

VERBS = ["list", "copy", "move", "delete", "print", "sort", "count", "show", "check", "pack"]


def run(*arguments: str) -> str:
    result = CliRunner().invoke(train_app, arguments)
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result.output


def test_the_small_setting_is_nanogpts() -> None:
    size = model_size(4)
    assert (size.layers, size.heads, size.dim, size.context) == (4, 4, 128, 64)
    assert (size.batch, size.steps) == (12, 2000)


@pytest.mark.parametrize("size", range(1, 65))
def test_heads_divide_every_width(size: int) -> None:
    shape = model_size(size)
    assert shape.dim % shape.heads == 0
    assert shape.dim // shape.heads in (32, 64)


def test_a_gpt_opens_in_chat(tmp_path: Path) -> None:
    (tmp_path / "text.txt").write_text("to be, or not to be: that is the question.\n" * 40)
    out = tmp_path / "gpt"
    command = ["gpt", "--data", str(tmp_path / "text.txt"), "--out", str(out), "--size", "1"]
    first = run(*command, "--steps", "8", "--optimizer", "adamw", "--schedule", "wsd")
    assert "step 8 of 8" in first
    assert (out / "losses.svg").read_text().startswith("<?xml")
    again = run(*command, "--steps", "8", "--optimizer", "adamw", "--schedule", "wsd")
    assert "step" not in again.replace("--steps", "")  # it is done already
    assert len(read_log(out)) == 8
    model, tokenizer = load_language_model(str(out))
    said = "".join(Conversation(model, tokenizer).reply("to be", SamplingParams(), max_tokens=4))
    assert 0 < len(said) <= 4
    with pytest.raises(GroundupError, match=r"another plan: steps 8"):
        run(*command, "--steps", "9", "--optimizer", "adamw", "--schedule", "wsd")


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--size", "0", "--size is 0: expected 1 to 64"),
        ("--optimizer", "sgd", "expected muon or adamw"),
        ("--precision", "int8", "expected auto, bfloat16 or float32"),
        ("--vocabulary", "words", "expected characters or a number"),
        ("--vocabulary", "100", "expected at least 257"),
        ("--schedule", "linear", "expected cosine or wsd"),
        ("--parallel", "pipeline", "expected ddp or fsdp"),
        ("--context", "9000", "rows of 9000 need at least"),
    ],
)
def test_options_that_cannot_be(tmp_path: Path, option: str, value: str, message: str) -> None:
    (tmp_path / "text.txt").write_text("abc " * 200)
    with pytest.raises(GroundupError, match=message):
        run("gpt", "--data", str(tmp_path / "text.txt"), "--out", str(tmp_path / "o"),
            "--steps", "2", option, value)  # fmt: skip


def test_a_talker_from_manual_pages(tmp_path: Path) -> None:
    manuals = tmp_path / "man"
    manuals.mkdir()
    for i in range(30):
        name, purpose = f"do{i}", f"{VERBS[i % 10]} the files of kind {i}"
        page = f".TH {name} 1\n.SH NAME\n{name} \\- {purpose}\n.SH DESCRIPTION\n{purpose}. " * 2
        (manuals / f"{name}.1").write_text(page + "\n")
    out = tmp_path / "talker"
    run("talker", "--data", str(manuals), "--out", str(out), "--size", "4", "--vocabulary", "320",
        "--steps", "3")  # fmt: skip
    model, tokenizer = load_language_model(str(out))
    talk = Conversation(model, tokenizer)
    assert "".join(talk.reply("What does do3 do?", SamplingParams(), max_tokens=5))
    for other in list(manuals.iterdir())[5:]:
        other.write_text(other.read_text().replace(".SH NAME", ".SH TITLE"))
    with pytest.raises(GroundupError, match="the documents hold 15 questions"):
        run("talker", "--data", str(manuals), "--out", str(tmp_path / "few"), "--size", "1",
            "--vocabulary", "300", "--steps", "1")  # fmt: skip


def test_without_documentation_the_packages_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    names = {Path("/nowhere") / name: name for name in PACKAGED.values()}
    monkeypatch.setattr("groundup.cli.train_talker.PACKAGED", names)
    with pytest.raises(
        GroundupError, match=r"apt install python3\.11-doc debian-handbook manpages"
    ):
        run("talker")


def test_questions_are_those_that_a_page_answers(tmp_path: Path) -> None:
    page = "LS(1)\n\nNAME ls, dir - list directory contents\n\nSYNOPSIS ls - x\n"
    assert questions_about_command(page)[0] == ("What does ls do?", "ls: list directory contents.")
    assert questions_about_command("NAME x - " + "long " * 40) == []
    assert questions_about_command("no name") == []
    source = ".. module:: json\n   :platform: all\n   :synopsis: Encode and decode JSON.\n\ntext\n"
    assert questions_about_module(source)[1] == (
        "What does the module json do?", "json: Encode and decode JSON."
    )  # fmt: skip
    (tmp_path / "json.rst.txt").write_text(source)
    (tmp_path / "ls.1").write_text(".TH ls 1\n.SH NAME\nls \\- list\n")
    found = list(conversations([tmp_path / "json.rst.txt", tmp_path / "ls.1"]))
    assert len(found) == 5
    assert [turn["role"] for turn in found[0]] == ["user", "assistant"]


def test_a_curve_falls_from_its_highest_to_its_lowest_value(tmp_path: Path) -> None:
    drawn = draw_curve([4.0 - i / 100 for i in range(300)], 40, 6).splitlines()
    assert len(drawn) == 6
    assert drawn[0].startswith(" 3.9")
    assert drawn[-1].startswith(" 1.0")
    assert drawn[0][7] != "⠀"  # a dot at the upper left
    assert drawn[0][-1] == "⠀"
    assert draw_curve([2.0], 20, 3).count("\n") == 2
    path = tmp_path / "losses.png"
    save_plot([{"step": 1, "loss": 2.0, "validation_loss": 2.1}], path, "one")
    assert path.read_bytes().startswith(b"\x89PNG")
    with pytest.raises(GroundupError, match="cannot write the plot"):
        save_plot([], tmp_path / "nowhere" / "x.svg", "none")
