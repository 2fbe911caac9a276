"""``groundup serve``: a model behind OpenAI's HTTP interface."""

import ipaddress
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.errors import GroundupError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["serve"]


def serve(
    model: Annotated[
        str, typer.Option(help="A packaged model, a GGUF file, a folder, or a hub id.")
    ] = "smollm2-135m-instruct",
    host: Annotated[
        str, typer.Option(help="The address to listen on. Others than this machine's need a key.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8000,
    replicas: Annotated[
        int, typer.Option(min=1, help="Processes that run the model, each with its own copy.")
    ] = 1,
    threads: Annotated[
        int | None,
        typer.Option(min=1, help="Threads of each of them.", show_default="the cores, shared out"),
    ] = None,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="GROUNDUP_API_KEY",
            help="A key that callers must send; several times for several keys.",
            show_default="none: everyone on this machine may",
        ),
    ] = None,
) -> None:
    """Serve a model to programs, as OpenAI's API does."""
    keys = keys_for(host, api_key)
    try:
        import msgspec  # noqa: F401
        import prometheus_client  # noqa: F401
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
        import uvloop
    except ModuleNotFoundError as error:
        raise GroundupError(
            f"the server needs {error.name}, which is not installed: pip install 'groundup[serve]'"
        ) from None

    from groundup.course.swap import install_swaps
    from groundup.course.workspace import find_workspace

    for problem in install_swaps(find_workspace()).problems:
        typer.echo(f"groundup: {problem}", err=True)

    from groundup.serving.app import create_app
    from groundup.serving.callers import Callers
    from groundup.serving.engine_messages import EngineOptions
    from groundup.serving.intake import IntakeSettings
    from groundup.serving.replica_metrics import ReplicaMetrics
    from groundup.serving.replicas import Replicas
    from groundup.serving.server import Server, ServerSettings, listen
    from groundup.serving.service import Service
    from groundup.serving.traces import tracing

    listener = listen(host, port)  # before the model is loaded, which takes longer

    async def run(tracer: "Tracer | None") -> None:
        options = EngineOptions(model, threads=threads)
        command = ("-m", "groundup.course.swapped_engine")
        async with Replicas.start(options, replicas, command=command) as engine:
            intake = IntakeSettings(places=replicas * options.max_sequences)
            service = Service(engine, intake, Callers(keys))
            service.metrics.registry.register(ReplicaMetrics(engine))
            shown = f"[{host}]" if ":" in host else host
            typer.echo(f"{engine.model_name} on http://{shown}:{port}/v1  (Ctrl-C ends)", err=True)
            await Server(create_app(service, tracer), service, ServerSettings()).serve(
                sockets=[listener]
            )

    try:
        with tracing() as tracer:
            uvloop.run(run(tracer))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        listener.close()


def keys_for(host: str, keys: list[str] | None) -> tuple[str, ...]:
    """The API keys without empty ones. Raises: GroundupError where a host needs one."""
    given = tuple(key for key in keys or () if key)
    if not given and not is_loopback(host):
        raise GroundupError(
            f"--host {host} lets other machines in, and there is no API key: set GROUNDUP_API_KEY "
            "or --api-key, or listen on 127.0.0.1"
        )
    return given


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
