"""Chatting with the packaged model: in a terminal, as one question, through a pipe, swapped."""

import json
import os
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pexpect
import pytest

Run = Callable[..., subprocess.CompletedProcess[str]]
Terminal = Callable[..., pexpect.spawn]
Put = Callable[[str], Path]

PROMPT = "you › "
QUESTION = "What is the capital of France?"
SAMPLED = ("--temperature", "1", "--top-p", "0.95", "--seed", "7", "--max-tokens", "12")


def ask(child: pexpect.spawn, text: str) -> str:
    """Type a line, and return what is shown between it and the next prompt."""
    child.sendline(text)
    child.expect_exact(text)
    child.expect_exact(PROMPT)
    shown: str = child.before.replace("\r\n", "\n")
    return re.sub(r"\x1b\[[?\d;]*[a-zA-Z]", "", shown)


def answer(shown: str) -> str:
    """Of what was shown, the answer: without the line about its speed."""
    text, _, speed = shown.strip().rpartition("\n")
    assert re.fullmatch(r"\d+ tokens/s", speed)
    return text


def test_a_conversation_in_a_terminal(terminal: Terminal, run: Run, tmp_path: Path) -> None:
    child = terminal("chat", *SAMPLED)
    child.expect_exact("smollm2-135m-instruct: /help shows the commands, Ctrl-D leaves")
    child.expect_exact(PROMPT)

    first = answer(ask(child, QUESTION))
    second = answer(ask(child, "And of Italy?"))
    assert first
    assert second

    assert "there is no command /hlep[/b]: /help shows them" in ask(child, "/hlep[/b]")
    assert "/reset" in ask(child, "/help")
    assert "(the model's own)" in ask(child, "/system")
    child.sendintr()  # at the prompt
    child.expect_exact("Ctrl-D or /quit leaves")
    child.expect_exact(PROMPT)

    assert "saved to talk.json" in ask(child, "/save talk.json")
    said = json.loads((tmp_path / "talk.json").read_text())
    assert [(m["role"], m["content"]) for m in said] == [
        ("user", QUESTION),
        ("assistant", first),
        ("user", "And of Italy?"),
        ("assistant", second),
    ]
    assert "talk.json exists: name another file" in ask(child, "/save talk.json")
    assert "cannot write nowhere/talk.md" in ask(child, "/save nowhere/talk.md")

    assert "forgotten" in ask(child, "/reset")
    assert "there is nothing to save yet" in ask(child, "/save")
    assert answer(ask(child, QUESTION)) == first  # the same seed, and nothing of before
    assert "starts anew" in ask(child, "/system You are a pirate.")
    assert answer(ask(child, QUESTION)) != first

    os.write(child.child_fd, b"\xff\xfe is broken\n")
    child.expect_exact("broken")
    child.expect_exact(PROMPT)
    child.sendline("/quit")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0

    once = run("chat", QUESTION, *SAMPLED)  # the same seed in another process
    assert once.stdout == first + "\n"
    assert (once.returncode, once.stderr) == (0, "")


def test_ctrl_c_keeps_the_session_and_what_was_said(terminal: Terminal, tmp_path: Path) -> None:
    child = terminal("chat", "--temperature", "0")
    child.expect_exact(PROMPT)
    child.sendline("Tell me a very long story about a dog.")
    child.expect_exact("dog.")
    child.expect(r"\w+ \w+ \w+")
    child.sendintr()
    child.sendintr()  # the impatient press it twice
    child.expect_exact("stopped")
    child.expect_exact(PROMPT)
    assert "saved to a.json" in ask(child, "/save a.json")
    user, assistant = json.loads((tmp_path / "a.json").read_text())
    assert (user["role"], assistant["role"]) == ("user", "assistant")
    assert 2 <= len(assistant["content"].split()) < 300
    child.sendeof()
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


def test_a_message_that_does_not_fit_leaves_the_conversation_as_it_was(
    terminal: Terminal, forgetful_model: str, tmp_path: Path
) -> None:
    child = terminal("chat", "--model", forgetful_model, "--max-tokens", "4")
    child.expect_exact(PROMPT)
    ask(child, "hello")
    refused = " ".join(ask(child, "1" * 60).split())
    assert re.search(r"is 1\d\d tokens long, and the model reads at most 99: shorten it", refused)
    ask(child, "and")
    ask(child, "/save kept.json")
    said = json.loads((tmp_path / "kept.json").read_text())
    assert [m["content"] for m in said if m["role"] == "user"] == ["hello", "and"]


def test_piped_text_is_put_behind_the_question(run: Run, tiny_model: str) -> None:
    greedy = ("--model", tiny_model, "--temperature", "0", "--max-tokens", "6")
    piped = run("chat", "Name this language:", *greedy, stdin=b"caf\xc3\xa9 \xff\xfe ol\xe9\n")
    whole = run("chat", *greedy, stdin="Name this language:\n\ncafé �� ol�".encode())
    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.strip()
    assert piped.stdout == whole.stdout


def test_a_pipe_that_is_longer_than_the_context_is_one_line(run: Run, tiny_model: str) -> None:
    done = run("chat", "--model", tiny_model, "--max-tokens", "2", stdin=b"a " * 9000)
    assert (done.returncode, done.stdout) == (1, "")
    assert re.fullmatch(
        r"groundup: with this message the conversation is 9,0\d\d tokens long, and the model reads "
        r"at most 8,191: shorten it, or begin a new conversation\n",
        done.stderr,
    )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ((), "there is no question: give one as an argument or through a pipe"),
        (("",), "there is no question: give one as an argument or through a pipe"),
        (("--dtype", "int8", "hi"), "--dtype is 'int8': expected auto, float32 or bfloat16"),
        (("--top-p", "1.5", "hi"), "top_p must be above 0 and at most 1, got 1.5"),
        (("--temperature", "nan", "hi"), "temperature must be 0 or more, got nan"),
        (("--model", "./none.gguf", "hi"), "there is no none.gguf: name a GGUF file"),
    ],
)
def test_what_cannot_work_is_one_line(run: Run, arguments: tuple[str, ...], expected: str) -> None:
    done = run("chat", *arguments)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert done.stderr.startswith(f"groundup: {expected}")


def test_a_swapped_part_answers_as_the_reference_until_it_is_changed(
    run: Run, swapped_attention: Put, attention_source: str
) -> None:
    greedy = ("chat", QUESTION, "--temperature", "0", "--max-tokens", "16")
    file = swapped_attention(attention_source)
    own = run(*greedy)
    assert (own.returncode, own.stderr) == (0, "running on your own: attention\n")
    file.write_text(attention_source + "\n# changed\n")
    reference = run(*greedy)
    assert reference.returncode == 0
    assert reference.stderr == (
        "attention: your attention.py has changed and not passed since, so the reference serves: "
        "run `groundup check attention`\n"
    )
    assert len(reference.stdout.split()) > 3
    assert own.stdout == reference.stdout


FAILING = """
import os
correct = attention


def attention(q, k, v, *, causal=True):
    if "PLANTED" in os.environ and k.shape[2] > int(os.environ["PLANTED"]):
        raise RuntimeError("planted [/] failure")
    return correct(q, k, v, causal=causal)
"""


@pytest.mark.parametrize("longest", ["0", "40"], ids=["at the start", "amid the answer"])
def test_a_part_that_fails_in_the_app_gives_way_to_the_reference(
    run: Run, swapped_attention: Put, attention_source: str, tiny_model: str, longest: str
) -> None:
    swapped_attention(attention_source + FAILING)
    greedy = ("--model", tiny_model, "--temperature", "0", "--max-tokens", "16")
    done = run("chat", QUESTION, *greedy, PLANTED=longest)
    assert done.returncode == 0
    assert done.stderr.splitlines()[-1] == (
        "attention: your attention.py failed at line 32 (RuntimeError: planted [/] failure), so "
        "the reference serves"
    )
    *broken_off, whole = done.stdout.splitlines()
    assert len(whole) > 16
    assert all(part and whole.startswith(part) for part in broken_off)
    assert len(broken_off) == (longest == "40")
