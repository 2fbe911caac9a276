"""``groundup gateway``: OpenAI's interface over other servers."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groundup.cli.serve import Host, KeyFile, check_installed, keys_for
from groundup.errors import GroundupError

if TYPE_CHECKING:
    from opentelemetry.trace import Tracer

__all__ = ["gateway"]


def gateway(
    upstream: Annotated[
        list[str] | None,
        typer.Option(help="The URL of an OpenAI-compatible server, with /v1; several times."),
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="A TOML file that says it all; see the README.")
    ] = None,
    host: Host = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="The port to listen on.")] = 8080,
    api_key: Annotated[
        list[str] | None,
        typer.Option(
            envvar="GROUNDUP_API_KEY",
            help="A key that callers must send, without limits; several times for several keys.",
            show_default="none",
        ),
    ] = None,
    keys: KeyFile = None,
    cache: Annotated[bool, typer.Option("--cache", help="Keep answers, and tell them again.")] = (
        False
    ),
) -> None:
    """Pass requests on to replicas: balanced, retried, cached, within limits."""
    if bool(upstream) == bool(config):
        raise GroundupError("give either --upstream URL, once or several times, or --config FILE")
    check_installed("aiohttp")
    from groundup.serving.gateway_config import config_of_urls, read_gateway_config
    from groundup.serving.intake_config import key_file

    if config is not None:
        if cache:
            raise GroundupError(f"--cache goes with --upstream: put a [cache] into {config}")
        settings = read_gateway_config(config)
        if keys is None and settings.keys is not None:
            keys = config.parent / settings.keys
    else:
        settings = config_of_urls(upstream or (), cache=cache)
    file = key_file(keys)
    plain = keys_for(host, api_key, keyed=file is not None)

    import uvloop

    from groundup.serving.gateway import Gateway
    from groundup.serving.gateway_app import create_gateway_app
    from groundup.serving.intake_config import answer_cache, callers, connect_redis
    from groundup.serving.server import Server, ServerSettings, listen
    from groundup.serving.traces import tracing

    redis = connect_redis(settings.redis)
    kept = None
    if settings.cache is not None:
        kept = answer_cache(settings.cache, redis, lambda text: passing.embed(text))
    passing = Gateway(settings, callers(plain, file, redis), kept)
    listener = listen(host, port)

    async def run(tracer: "Tracer | None") -> None:
        shown = f"[{host}]" if ":" in host else host
        names = ", ".join(each.name for each in passing.upstreams)
        typer.echo(f"{names} behind http://{shown}:{port}/v1  (Ctrl-C ends)", err=True)
        try:
            app = create_gateway_app(passing, tracer)
            await Server(app, passing, ServerSettings()).serve([listener])
        finally:
            if redis is not None:
                await redis.close()

    try:
        with tracing() as tracer:
            uvloop.run(run(tracer))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
    finally:
        listener.close()
