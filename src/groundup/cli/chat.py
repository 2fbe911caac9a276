"""``groundup chat``: talk to a model in the terminal."""

import json
import sys
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.course.swap import Swaps
    from groundup.engine.conversation import Conversation
    from groundup.engine.sampler import SamplingParams

__all__ = ["chat"]

HELP = """\
/reset            forget the conversation, keep the system message
/system [TEXT]    show or set the system message; setting it starts anew
/save [FILE]      write the conversation to FILE: .json, or Markdown
/help             show this
/quit             leave (Ctrl-D does too)
Ctrl-C stops an answer and keeps what was said so far."""


def chat(
    question: Annotated[
        str | None,
        typer.Argument(help="Ask this once and print the answer. Piped text is put behind it."),
    ] = None,
    model: Annotated[
        str, typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    system: Annotated[
        str | None, typer.Option(help="The system message.", show_default="the model's own")
    ] = None,
    temperature: Annotated[float, typer.Option(help="0 always takes the likeliest token.")] = 0.2,
    top_p: Annotated[float, typer.Option(help="Keep the likeliest tokens up to this mass.")] = 0.9,
    top_k: Annotated[int, typer.Option(help="Keep so many tokens; 0 keeps all.")] = 0,
    min_p: Annotated[
        float, typer.Option(help="Keep tokens at least so likely relative to the likeliest.")
    ] = 0.0,
    repetition_penalty: Annotated[
        float, typer.Option(help="Above 1 makes repeated tokens less likely.")
    ] = 1.0,
    seed: Annotated[
        int | None, typer.Option(help="Repeat the same random choices.", show_default="a new one")
    ] = None,
    max_tokens: Annotated[
        int | None, typer.Option(min=1, help="Tokens of one answer.", show_default="what fits")
    ] = None,
    dtype: Annotated[
        str, typer.Option(help="auto, float32 or bfloat16: what to compute in.")
    ] = "auto",
) -> None:
    """Talk to a model in the terminal.

    Without QUESTION it is a conversation; with one, or with text piped in, a single answer.
    """
    from rich.console import Console

    question = _with_piped(question)
    notes = Console(stderr=True, highlight=False)
    if dtype not in ("auto", "float32", "bfloat16"):
        raise GroundupError(f"--dtype is {dtype!r}: expected auto, float32 or bfloat16")

    from groundup.course.swap import install_swaps
    from groundup.course.workspace import find_workspace

    swaps = install_swaps(find_workspace())

    def open_conversation() -> "tuple[Conversation, SamplingParams]":
        with notes.status("loading the model (the first time, kernels are compiled)"):
            import torch

            from groundup.engine.conversation import Conversation
            from groundup.engine.sampler import SamplingParams
            from groundup.models.load import load_model

            try:
                params = SamplingParams(
                    temperature, top_k, top_p, min_p, repetition_penalty, seed
                )
            except ValueError as error:
                raise GroundupError(str(error)) from None
            loaded = load_model(model, None if dtype == "auto" else getattr(torch, dtype))
            conversation = Conversation(loaded.model, loaded.tokenizer, system)
            conversation.warm_up()
        for problem in swaps.problems:
            notes.print(f"[red]{problem}[/]")
        swaps.problems.clear()
        if swaps.parts:
            names = ", ".join(part.id for part in swaps.parts)
            notes.print(f"[green]running on your own: {names}[/]")
        return conversation, params

    session = _Session(open_conversation, swaps, max_tokens, notes)
    if question is not None:
        session.answer(question)
    else:
        notes.print(f"[bold]{model}[/]  /help shows the commands, Ctrl-D leaves", highlight=False)
        session.converse()


def _with_piped(question: str | None) -> str | None:
    """The question and what was piped in; None where a terminal is there to ask."""
    if sys.stdin is None or sys.stdin.isatty():
        return question
    piped = sys.stdin.buffer.read().decode("utf-8", errors="replace").strip()
    whole = "\n\n".join(text for text in (question, piped) if text)
    if not whole:
        raise GroundupError("there is no question: give one as an argument or through a pipe")
    return whole


class _Session:
    """One conversation in a terminal."""

    def __init__(
        self,
        open_conversation: "Callable[[], tuple[Conversation, SamplingParams]]",
        swaps: "Swaps",
        max_tokens: int | None,
        notes: "Console",
    ) -> None:
        self.open_conversation = open_conversation
        self.swaps = swaps
        self.max_tokens = max_tokens
        self.notes = notes
        self.conversation, self.params = open_conversation()

    def converse(self) -> None:
        """Ask and answer until the user leaves."""
        import readline  # noqa: F401  gives input() editing and a history

        while True:
            try:
                text = input("\nyou › ").strip()
            except EOFError:
                print()
                return
            except KeyboardInterrupt:
                self.notes.print("\n[dim]Ctrl-D or /quit leaves[/]")
                continue
            if text in ("/quit", "/exit"):
                return
            try:
                if text.startswith("/"):
                    self.command(text)
                elif text:
                    self.answer(text)
            except GroundupError as error:
                self.notes.print(f"[red]{error}[/]", highlight=False)

    def answer(self, text: str) -> None:
        """Print the answer as it comes; Ctrl-C stops it."""
        start, pieces = time.perf_counter(), 0
        try:
            for piece in self.conversation.reply(text, self.params, self.max_tokens):
                sys.stdout.write(piece)
                sys.stdout.flush()
                pieces += 1
        except KeyboardInterrupt:
            self.notes.print("\n[dim]stopped[/]", end="")
        except Exception as error:
            if not self.swaps.blame(error):
                raise
            self.again_on_the_reference(text)
            return
        print()
        if sys.stdin.isatty() and sys.stdout.isatty():
            seconds = time.perf_counter() - start
            self.notes.print(f"[dim]{pieces / seconds:.0f} tokens/s[/]")

    def again_on_the_reference(self, text: str) -> None:
        """After a learner's part failed: the same question, on the reference."""
        messages = self.conversation.messages
        if messages[-1:] and messages[-1]["role"] == "assistant":  # the answer that broke off
            del messages[-2:]
        print()
        self.conversation, self.params = self.open_conversation()
        self.conversation.messages = messages
        self.answer(text)

    def command(self, text: str) -> None:
        """Carry out one of the commands of HELP."""
        name, _, rest = text.partition(" ")
        rest = rest.strip()
        if name == "/reset":
            self.conversation.reset()
            self.notes.print("[dim]forgotten[/]")
        elif name == "/system" and not rest:
            print(self.conversation.system or "(the model's own)")
        elif name == "/system":
            self.conversation.reset(system=rest)
            self.notes.print("[dim]set; the conversation starts anew[/]")
        elif name == "/save":
            path = save(self.conversation.messages, Path(rest) if rest else None)
            self.notes.print(f"[dim]saved to {path}[/]", highlight=False)
        elif name == "/help":
            print(HELP)
        else:
            raise GroundupError(f"there is no command {name}: /help shows them")


def save(messages: list[Any], path: Path | None) -> Path:
    """Write a conversation as JSON or Markdown, whole or not at all; returns the path.

    Raises:
        GroundupError: there is nothing to save, the file exists, or it cannot be written.
    """
    if not messages:
        raise GroundupError("there is nothing to save yet")
    path = path or Path(f"chat-{datetime.now():%Y%m%d-%H%M%S}.md")
    path = path.expanduser()
    if path.exists():
        raise GroundupError(f"{path} exists: name another file")
    if path.suffix == ".json":
        text = json.dumps(messages, indent=2, ensure_ascii=False) + "\n"
    else:
        text = "\n\n".join(f"**{m['role']}**\n\n{m['content']}" for m in messages) + "\n"
    try:
        write_text(path, text)
    except OSError as error:
        raise GroundupError(f"cannot write {path}: {error.strerror}") from None
    return path
