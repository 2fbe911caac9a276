"""``groundup serve``: a model behind OpenAI's HTTP interface."""

import ipaddress
import os
import signal
import sys
import threading
from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["serve"]

Dtype = Literal["float32", "bfloat16", "int8", "int4"]

# Options that other commands which listen have too.
Host = Annotated[
    str, typer.Option(help="The address to listen on. Others than this machine's need a key.")
]
ApiKeys = Annotated[
    list[str] | None,
    typer.Option(
        envvar="GROUNDUP_API_KEY",
        help="A key that callers must send; several times for several keys.",
        show_default="none: everyone on this machine may",
    ),
]
KeyFile = Annotated[
    Path | None,
    typer.Option(
        help="The file of keys with limits.", show_default="that of groundup keys, if there"
    ),
]


def serve(
    model: Annotated[
        str, typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    replicas: Annotated[
        int, typer.Option(min=1, help="Processes that run the model, each with its own copy.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads of each of them.", show_default="the cores, shared out"),
    ] = None,
    dtype: Annotated[
        Dtype | None,
        typer.Option(
            help="Of the weights. int8 also multiplies in 8 bits: faster, less exact. int4 is for "
            "one answer at a time.",
            show_default="bfloat16 where the processor multiplies it, else float32",
        ),
    ] = None,
    batch: Annotated[
        int, typer.Option(min=1, help="Answers that each of them works on at a time.")
    ] = 64,
    speculate: Annotated[
        str | None,
        typer.Option(
            help="Draft tokens and verify them at once: ngram copies from the text, or a smaller "
            "model with the same vocabulary writes them.",
            show_default="no drafts",
        ),
    ] = None,
    draft_tokens: Annotated[
        int, typer.Option(min=1, max=64, help="Tokens drafted at a time, at most.")
    ] = 8,
    adapter: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=FOLDER",
            help="A LoRA adapter, as peft saves it, to be asked for as a model; several times for "
            "several.",
        ),
    ] = None,
    api_key: ApiKeys = None,
    keys: KeyFile = None,
    cache: Annotated[
        bool, typer.Option("--cache", help="Keep answers that would be the same again.")
    ] = False,
    cache_similarity: Annotated[
        float | None,
        typer.Option(
            min=0.01,
            max=1,
            help="Let chats have the answer to a question whose embedding is this near (cosine).",
            show_default="equal requests only",
        ),
    ] = None,
    redis: Annotated[
        str | None,
        typer.Option(help="redis://host:port/db, to share limits, budgets and answers."),
    ] = None,
    end_with_stdin: Annotated[
        bool, typer.Option("--end-with-stdin", hidden=True, help="End when standard input does.")
    ] = False,
) -> None:
    """Serve a model to programs, as OpenAI's API does."""
    if cache_similarity is not None and not cache:
        raise GroundupError("--cache-similarity is of the cache: give --cache too")
    adapters = named_adapters(adapter or (), model)
    check_installed()
    if end_with_stdin:
        threading.Thread(target=end_when_stdin_does, daemon=True).start()
    import uvloop

    from groundup.serving.intake_config import (
        CacheConfig,
        answer_cache,
        callers,
        connect_redis,
        key_file,
    )

    file = key_file(keys)
    plain = keys_for(host, api_key, keyed=file is not None)
    connection = connect_redis(redis)
    calling = callers(plain, file, connection)

    from groundup.course.swap import current_swaps, install_swaps

    for problem in install_swaps(current_swaps()).problems:
        typer.echo(f"groundup: {problem}", err=True)

    from groundup.serving.app import create_app
    from groundup.serving.engine_messages import EngineOptions
    from groundup.serving.intake import IntakeSettings
    from groundup.serving.replica_metrics import ReplicaMetrics
    from groundup.serving.replicas import Replicas
    from groundup.serving.server import Server, ServerSettings, listen
    from groundup.serving.service import Service
    from groundup.serving.traces import tracing

    listener = listen(host, port)  # before the model is loaded, which takes longer

    async def run(tracer: "Tracer | None") -> None:
        options = EngineOptions(
            model, dtype, threads, max_sequences=batch,
            speculate=speculate, draft_tokens=draft_tokens, adapters=adapters,
        )  # fmt: skip
        command = ("-m", "groundup.course.swapped_engine")
        async with Replicas.start(options, replicas, command=command) as engine:
            kept = None
            if cache:
                config = CacheConfig(similarity=cache_similarity)
                kept = answer_cache(config, connection, lambda text: service.embed(text))
            intake = IntakeSettings(places=replicas * options.max_sequences)
            service = Service(engine, intake, calling, kept)
            service.metrics.registry.register(ReplicaMetrics(engine))
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"{engine.model_name} on http://{shown}:{port}/v1  (Ctrl-C ends)", err=True)
            try:
                await Server(create_app(service, tracer), service, ServerSettings()).serve(
                    sockets=[listener]
                )
            finally:
                if connection is not None:
                    await connection.close()

    try:
        with tracing() as tracer:
            uvloop.run(run(tracer))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        listener.close()


def end_when_stdin_does() -> None:
    """The program that started this one holds the other end, and may be killed."""
    while os.read(sys.stdin.fileno(), 4096):
        pass
    os.kill(os.getpid(), signal.SIGTERM)


def named_adapters(given: Sequence[str], model: str) -> dict[str, str]:
    """Folders by name. Raises: GroundupError for what is not NAME=FOLDER, or a name of two."""
    folders: dict[str, str] = {}
    for each in given:
        name, _, folder = each.partition("=")
        if not name or not folder:
            raise GroundupError(f"--adapter {each!r}: expected NAME=FOLDER")
        if name == model or name in folders:
            raise GroundupError(f"--adapter {each!r}: there is another {name!r}, choose a new name")
        folders[name] = folder
    return folders


def check_installed(*more: str, extra: str = "serve") -> None:
    """Raises: GroundupError: a module of the server, or one more of ``extra``, is missing."""
    for name in ("msgspec", "prometheus_client", "starlette", "uvicorn", "uvloop", *more):
        try:
            import_module(name)
        except ModuleNotFoundError as error:
            raise GroundupError(
                f"the server needs {error.name}, which is not installed: "
                f"pip install 'groundup[{extra}]'"
            ) from None


def keys_for(host: str, keys: list[str] | None, *, keyed: bool = False) -> tuple[str, ...]:
    """The API keys without empty ones. Raises: GroundupError where a host needs one.

    ``keyed``: callers need a key of a file in any case.
    """
    given = tuple(key for key in keys or () if key)
    if not given and not keyed and not is_loopback(host):
        raise GroundupError(
            f"--host {host} lets other machines in, and there is no API key: set GROUNDUP_API_KEY "
            "or --api-key, make one with groundup keys add, or listen on 127.0.0.1"
        )
    return given


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
