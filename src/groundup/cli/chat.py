"""``groundup chat``: talk to a model in the terminal."""

import io
import json
import sys
import time
from collections.abc import Callable, Generator
from contextlib import closing, suppress
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from groundup.atomic_write import write_text
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from rich.console import Console

    from groundup.course.swap import Swaps
    from groundup.engine.conversation import Conversation
    from groundup.engine.sampling_params import SamplingParams
    from groundup.models.language_model import LanguageModel

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
        str | None,
        typer.Option(
            help="A packaged model, a GGUF file, a folder, or a hub id.",
            show_default="the adapter's, or smollm2-135m-instruct",
        ),
    ] = None,
    adapter: Annotated[
        Path | None, typer.Option(help="A folder that groundup tune or peft wrote.")
    ] = None,
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
        int | None,
        typer.Option(
            min=0, max=2**64 - 1, help="Repeat the same random choices.", show_default="a new one"
        ),
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
    if dtype not in ("auto", "float32", "bfloat16"):
        raise GroundupError(f"--dtype is {dtype!r}: expected auto, float32 or bfloat16")

    from groundup.course.swap import find_swaps, install_swaps
    from groundup.course.workspace import find_workspace

    swaps = install_swaps(find_swaps(find_workspace()))
    notes = Console(stderr=True, highlight=False, soft_wrap=True)
    name = model or (adapter and _base_of(adapter)) or "smollm2-135m-instruct"

    def load() -> "tuple[Conversation, SamplingParams]":
        with notes.status("starting"):
            import torch

            from groundup.engine.conversation import Conversation
            from groundup.engine.sampling_params import SamplingParams
            from groundup.models.load import load_language_model
            from groundup.models.locate import locate

        try:
            params = SamplingParams(temperature, top_k, top_p, min_p, repetition_penalty, seed)
        except ValueError as error:
            raise GroundupError(str(error)) from None
        path = locate(name)  # a model that has to be fetched shows its own progress
        with notes.status("loading the model (the first time, kernels are compiled)"):
            wanted = None if dtype == "auto" else getattr(torch, dtype)
            loaded: LanguageModel
            loaded, tokenizer = base = load_language_model(str(path), wanted)
            if adapter is not None:
                from groundup.tuning.adapter_folder import load_adapter

                adapted = load_adapter(adapter, base[0])
                # Over a 4-bit base, each token would unpack every matrix anew.
                merged = adapted.adapter.method == "qlora"
                loaded = cast("LanguageModel", adapted.merge() if merged else adapted)
            conversation = Conversation(loaded, tokenizer, system)
            conversation.warm_up()
        return conversation, params

    session = _Session(load, swaps, max_tokens, notes)
    if question is not None:
        session.answer(question)
    else:
        named = f"{name} with {adapter}" if adapter else name
        notes.print(f"{named}: /help shows the commands, Ctrl-D leaves", markup=False)
        session.converse()


def _base_of(adapter: Path) -> str | None:
    """The model that an adapter says it was trained on."""
    from groundup.models.peft_folder import read_peft_config

    base: str | None = read_peft_config(adapter).get("base_model_name_or_path")
    return base


def _with_piped(question: str | None) -> str | None:
    """The question and what was piped in; None where a terminal is there to ask."""
    terminal = sys.stdin is not None and sys.stdin.isatty()
    if terminal and question is None:
        return None
    piped = ""
    if sys.stdin is not None and not terminal:
        piped = sys.stdin.buffer.read().decode("utf-8", errors="replace").strip()
    whole = "\n\n".join(text for text in (question, piped) if text)
    if not whole:
        raise GroundupError("there is no question: give one as an argument or through a pipe")
    return whole


class _Session:
    """One conversation in a terminal."""

    def __init__(
        self,
        load: "Callable[[], tuple[Conversation, SamplingParams]]",
        swaps: "Swaps",
        max_tokens: int | None,
        notes: "Console",
    ) -> None:
        self.load = load
        self.swaps = swaps
        self.max_tokens = max_tokens
        self.notes = notes
        self.open()

    def open(self) -> None:
        """Load the model, without the learner's parts that fail, and say whose parts it runs on."""
        while True:
            try:
                self.conversation, self.params = self.load()
                break
            except GroundupError:
                raise
            except (Exception, SystemExit) as error:
                if not self.swaps.blame(error):
                    raise
        for problem in self.swaps.problems:
            self.notes.print(problem, style="red", markup=False)
        self.swaps.problems.clear()
        if self.swaps.parts:
            names = ", ".join(part.id for part in self.swaps.parts)
            self.notes.print(f"[green]running on your own: {names}[/]")

    def converse(self) -> None:
        """Ask and answer until the user leaves."""
        import readline  # noqa: F401  gives input() editing and a history

        assert isinstance(sys.stdin, io.TextIOWrapper)
        sys.stdin.reconfigure(errors="replace")
        going_on = True
        while going_on:
            with suppress(KeyboardInterrupt):  # a second Ctrl-C, while the first is answered
                going_on = self.turn()

    def turn(self) -> bool:
        """One question or command; False when the user leaves."""
        text = None
        try:
            text = input("\nyou › ").strip()
            if text in ("/quit", "/exit"):
                return False
            if text.startswith("/"):
                self.command(text)
            elif text:
                self.answer(text)
        except EOFError:
            print()
            return False
        except KeyboardInterrupt:
            said = "Ctrl-D or /quit leaves" if text is None else "stopped"
            self.notes.print(f"\n[dim]{said}[/]")
        except GroundupError as error:
            self.notes.print(str(error), style="red", markup=False)
        return True

    def answer(self, text: str) -> None:
        """Print the answer as it comes."""
        said: list[str] = []
        try:
            with closing(self.pieces(text)) as pieces:
                for piece in pieces:
                    if not said:
                        start = time.perf_counter()
                    said.append(piece)
                    sys.stdout.write(piece)
                    sys.stdout.flush()
        finally:
            if said:
                print()
        if not said:
            self.notes.print("[dim]the model has nothing to say to this[/]")
        elif sys.stdin.isatty() and sys.stdout.isatty() and len(said) > 1:
            seconds = time.perf_counter() - start
            tokens = len(self.conversation.tokenizer.encode("".join(said[1:]), special=False))
            self.notes.print(f"[dim]{tokens / seconds:.0f} tokens/s[/]")

    def pieces(self, text: str) -> Generator[str]:
        """The answer; where a learner's part fails, from its beginning on the reference."""
        while True:
            before = list(self.conversation.messages)
            try:
                yield from self.conversation.reply(text, self.params, self.max_tokens)
                return
            except GroundupError:
                raise
            except (Exception, SystemExit) as error:
                if not self.swaps.blame(error):
                    raise
            if len(self.conversation.messages) > len(before):  # an answer that broke off
                yield "\n"
            self.open()
            self.conversation.messages = before

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
            self.notes.print(f"saved to {path}", style="dim", markup=False)
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
    if path.suffix == ".json":
        text = json.dumps(messages, indent=2, ensure_ascii=False) + "\n"
    else:
        text = "\n\n".join(f"**{m['role']}**\n\n{m['content']}" for m in messages) + "\n"
    try:
        path = path.expanduser()
        if path.exists():
            raise GroundupError(f"{path} exists: name another file")
        write_text(path, text)
    except OSError as error:
        raise GroundupError(f"cannot write {path}: {error.strerror}") from None
    except RuntimeError:  # what pathlib raises for a user that is not there
        raise GroundupError(f"{path} names a home folder that is not there") from None
    return path
